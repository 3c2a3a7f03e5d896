"""Pictures of hand-made runs: they are drawn, say who is who, and leave nobody out in silence."""

import numpy as np
import pytest

from evaluators.resampling import Interval
from experiments.converging.comparing import THRESHOLDS
from experiments.converging.pictures import (
    SHOWN,
    Curves,
    Panel,
    live_figure,
    path_figure,
    profile_figure,
    regret_figure,
)
from experiments.converging.scoring import Bin
from experiments.figures import save_figure
from tests.hand_runs import START, run, surface


def rising(n, end):
    value = np.linspace(0.0, end, n)
    return Interval(value, value - 0.01, value + 0.01)


def curves(n_policies):
    parts = (rising(30, 9.0), rising(30, 0.9), rising(len(THRESHOLDS), 1.0))
    return [Curves(f"policy {i} (improve)", f"policy {i}", *parts) for i in range(n_policies)]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [figure.get_suptitle()]


@pytest.mark.parametrize("draw", [regret_figure, lambda c, words: profile_figure(c, words=words, by=20)])
def test_the_first_policies_are_named_and_the_rest_is_said_to_be_grey(draw, tmp_path):
    figure = draw(curves(SHOWN + 2), words="two worlds")
    assert {f"policy {i} (improve)" for i in range(SHOWN)} <= set(texts(figure))
    assert "grey: the other policies" in texts(figure)[-1]
    assert all(len([line for line in axes.lines if len(line.get_xdata()) > 2]) == SHOWN + 2 for axes in figure.axes)
    saved = save_figure(figure, tmp_path, "x")
    assert saved.png.stat().st_size > 10_000
    assert "grey" not in texts(draw(curves(2), words=""))[-1]


def test_reliability_has_a_panel_per_group_and_labels_what_is_not_rare():
    bins = [Bin(0.0, 0.2, 1, 0.1, 0), Bin(0.9, 0.95, 499, 0.93, 480), Bin(0.95, 1.0, 500, 0.98, 490)]
    figure = live_figure({"one": bins, "two": bins}, required=0.95)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one", "two"]
    assert texts(figure).count("50%") == 4
    assert "0%" not in texts(figure)


def test_paths_pass_through_the_approved_points():
    figure = path_figure([Panel(surface(), run([[START, START, 4, 1, 1]]))], columns=1)
    axes = figure.axes[0]
    lines = [line for line in axes.lines if np.size(line.get_xdata()) == 3]
    heat, caps = np.asarray(lines[0].get_xdata()), np.asarray(lines[0].get_ydata())
    np.testing.assert_allclose(heat, [0.4, 0.1, 0.0], atol=0.03)  # moved by at most .28 of a step
    np.testing.assert_allclose(caps, [312, 212, 212], atol=28.1)
    assert "hand" in axes.get_title(loc="left")
