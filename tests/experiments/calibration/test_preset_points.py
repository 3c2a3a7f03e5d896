"""What a fitted preset claims to reproduce: recorded means, counted by hand."""

import numpy as np
import pytest

from experiments.calibration.outcome_table import Columns, Selection, read_outcomes
from experiments.calibration.preset_grids import grids_of
from experiments.calibration.preset_points import published_points, short
from experiments.calibration.task_fit import fit_world
from tests import answers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = answers.write(tmp_path_factory.mktemp("p") / "a.csv", answers.table())
    table = read_outcomes(path, Selection(Columns(**answers.COLUMNS), {}, 1.0, 0.05))
    fit = fit_world(table, split_seed=0)
    return table, published_points(table, fit, grids_of(table))


def of(points, measure):
    return {float(point.temperature): point for point in points if point.measure == measure}


def test_quality_counts_failed_calls_as_0_and_failure_is_a_share(made):
    drawn, (_, points) = answers.table(), made
    for heat in answers.HEATS:
        here = drawn["T"] == heat
        assert of(points, "quality")[heat].value == pytest.approx(drawn["score"][here].mean(), abs=1e-6)
        assert of(points, "failure")[heat].value == pytest.approx(drawn["error"][here].mean(), abs=1e-6)
    point = of(points, "quality")[0.0]
    # one answer a problem: the standard error of 160 independent shares
    share = point.value
    assert point.stderr == pytest.approx(np.sqrt(share * (1 - share) / 159), rel=1e-3)
    assert (point.task, point.top_p, point.max_tokens) == ("all", "", "")
    assert "sha256" in point.source
    assert "160 answers" in point.source


def test_what_never_happened_is_not_certain(made):
    never = [point for point in made[1] if point.value == 0.0]
    assert all(point.stderr > 0.005 for point in never)


def test_lengths_are_published_as_shares_of_calls_beyond_a_max_tokens(made):
    """A failed call has no answer that could be cut off."""
    drawn, (_, points) = answers.table(), made
    cut = [point for point in points if point.measure == "truncated"]
    assert 1 <= len(cut) <= 3
    here = drawn["T"] == 1.0
    works = ~drawn["error"] & here
    assert works.sum() < here.sum()
    for point in cut:
        assert point.value == pytest.approx(
            np.sum(drawn["tokens"][works] > int(point.max_tokens)) / here.sum(), abs=1e-6
        )
        assert 0 < point.tolerance < 0.2


@pytest.mark.parametrize("heats", [(0.0, 0.2, 0.3), answers.HEATS])
def test_difficulty_is_published_where_the_baseline_lies_on_the_plateau(tmp_path, heats):
    """Variance of right-or-wrong answers over that within a problem; the baseline is the heat next to 1."""
    path = answers.write(tmp_path / "c.csv", answers.table(heats=heats, n_problems=320))
    table = read_outcomes(path, Selection(Columns(**answers.COLUMNS), {}, 1.0, 0.05))
    points = published_points(table, fit_world(table, split_seed=0), grids_of(table))
    found = [point for point in points if point.measure == "variance_ratio"]
    assert len(found) == (heats != answers.HEATS)
    mean = answers.quality(np.array(heats))
    level = answers.hard(mean[:, None], np.arange(answers.LEVELS))
    true = np.mean(mean * (1 - mean)) / np.mean(level * (1 - level))
    assert all(abs(point.value - true) <= 4 * point.stderr for point in found)


def test_few_answers_are_not_published(tmp_path):
    path = answers.write(tmp_path / "b.csv", {"temperature": [0.5] * 19, "quality": [0, 1] * 9 + [0]})
    table = read_outcomes(path, Selection(Columns(), {}, 1.0, 0.05))
    assert published_points(table, fit_world(table, split_seed=0), grids_of(table)) == []


def test_six_digits_are_kept():
    assert short(1234567.0) == 1234570.0
