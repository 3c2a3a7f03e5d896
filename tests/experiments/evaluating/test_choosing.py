"""Estimators and intervals that a log cannot feed are left out or replaced, and it is said."""

import numpy as np
import pytest

from envs.targets import ConfigError
from evaluators.estimators import direct, doubly_robust, ips, snips
from evaluators.intervals import assisted, bernstein, cut_t, hall, t
from evaluators.rows import RewardRange, Rows
from experiments.evaluating.choosing import choose
from tests.other_logs import MEAN, draw

DRAWN = draw(100)
ALL = {"ips": ips.Params(), "snips": snips.Params(), "direct": direct.Params(), "dr": doubly_robust.Params()}
WHOLE = Rows(
    DRAWN.reward, DRAWN.slot, DRAWN.behavior, DRAWN.target, MEAN[DRAWN.context], reward_range=RewardRange(0.0, 1.0)
)


def test_a_whole_log_runs_all_that_was_asked_with_its_own_intervals() -> None:
    found = choose(ALL, WHOLE, n=100)
    assert found.notes == ()
    assert set(found.estimators) == {"logger", *ALL, "difference ips", "difference direct", "difference dr"}
    assert set(found.ratios) == {"snips"}
    assert isinstance(found.estimators["dr"].interval, assisted.Params)


def test_without_a_declared_range_the_interval_is_another_and_it_is_said() -> None:
    found = choose(ALL, WHOLE._replace(reward_range=None), n=100)
    assert isinstance(found.estimators["dr"].interval, hall.Params | t.Params)
    assert any("dr: interval" in note and "instead of assisted" in note for note in found.notes)


def test_a_partial_log_without_a_model_runs_what_needs_neither() -> None:
    at = np.arange(100), DRAWN.slot
    rows = Rows(
        DRAWN.reward, 0 * DRAWN.slot, DRAWN.behavior[at][:, None], DRAWN.target[at][:, None], is_partial=True
    )  # fmt: skip
    found = choose(ALL, rows, n=100)
    assert set(found.estimators) == {"logger", "ips", "snips", "difference ips"}
    assert sum(note.startswith("Not run:") for note in found.notes) == 2


def test_a_log_on_which_nothing_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="no estimator can run.*direct"):
        choose({"direct": direct.Params()}, WHOLE._replace(predicted=None), n=100)


@pytest.mark.parametrize("interval", ["cut_tt", 3, None, ips.Params(), assisted.Params])
def test_what_is_no_interval_is_refused_and_not_replaced(interval: object) -> None:
    with pytest.raises(ConfigError):
        choose({"ips": ips.Params(interval=interval)}, WHOLE, n=100)


@pytest.mark.parametrize("interval", [cut_t.Params(), bernstein.Params()])
def test_a_difference_has_no_cut_scores_and_it_is_said(interval: object) -> None:
    found = choose({"dr": doubly_robust.Params(interval=interval)}, WHOLE, n=100)
    assert found.estimators["dr"].interval == interval
    assert isinstance(found.estimators["difference dr"].interval, hall.Params)
    (note,) = found.notes
    assert note.startswith("difference dr: interval hall instead of")
    assert "a difference has no cut scores" in note
