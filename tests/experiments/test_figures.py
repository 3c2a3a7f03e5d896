"""Figures for print: the same bytes from the same table, panels that say what they show."""

import re

import pytest

from experiments.figures import convergence_figure, save_figure, spread
from experiments.palette import POLICY_COLOURS


@pytest.fixture(scope="module")
def figure(one_world):
    return convergence_figure(one_world)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_panels_are_regret_and_one_per_task_with_units(figure):
    regret, *tasks = figure.axes
    assert regret.get_ylabel() == "mean cumulative regret (reward units)"
    assert [axes.get_ylabel() for axes in tasks] == [
        "bugfix\nexpected reward",
        "refactor\nexpected reward",
    ]
    assert regret.get_xlabel() == tasks[-1].get_xlabel() == "evaluation"


def test_each_policy_has_its_line_band_and_name_in_its_colour(figure):
    for axes in figure.axes:
        assert {line.get_color() for line in axes.lines} >= set(POLICY_COLOURS.values())
        named = {t.get_text().split()[0]: t.get_color() for t in axes.texts}
        assert named.items() >= POLICY_COLOURS.items()
    assert len(figure.axes[0].collections) == len(POLICY_COLOURS)


def test_oracle_start_and_shares_are_written_in_the_task_panels(figure):
    for axes in figure.axes[1:]:
        assert {"oracle", "start"} <= set(texts(axes))
        assert any(re.fullmatch(r"thompson \d+%", text) for text in texts(axes))


def test_the_rule_chosen_is_the_one_shown(one_world, figure):
    other = convergence_figure(one_world, rule="two_sample")
    assert "rule improve;" in figure.get_suptitle()
    assert "rule two_sample;" in other.get_suptitle()
    with pytest.raises(ValueError, match=r"'three' was not run; got \['improve', 'two_sample'\]"):
        convergence_figure(one_world, rule="three")


def test_a_run_without_convergence_shares_still_has_its_picture(one_world):
    bare = convergence_figure(one_world[one_world["section"] == "simulation"])
    assert "thompson" in texts(bare.axes[1])


def test_the_same_table_gives_the_same_bytes(one_world, tmp_path):
    first = save_figure(convergence_figure(one_world), tmp_path / "a", "convergence")
    again = save_figure(convergence_figure(one_world), tmp_path / "b", "convergence")
    assert first.svg.read_bytes() == again.svg.read_bytes()
    assert first.png.read_bytes() == again.png.read_bytes()
    assert "<dc:date>" not in first.svg.read_text()
    assert first.svg.stat().st_size < 300_000


@pytest.mark.parametrize("heights", [[0.5], [0.1, 0.11, 0.12, 0.9], [0.97, 0.98, 0.99, 1.0], [0.0] * 5])
def test_names_of_curves_are_kept_apart_in_their_order(heights):
    moved = spread(heights, gap=0.1)
    ranked = sorted(moved)
    assert all(b - a >= 0.1 - 1e-12 for a, b in zip(ranked, ranked[1:], strict=False))
    assert max(moved) <= 1
    assert sorted(range(len(moved)), key=lambda i: moved[i]) == sorted(range(len(heights)), key=lambda i: heights[i])
