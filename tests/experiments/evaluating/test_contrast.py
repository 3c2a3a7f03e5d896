"""The difference to the logger is the mean of per-row differences, for means and for ratios."""

from typing import Any

import numpy as np
import pytest

from evaluators.estimation import Estimator, finish, summarise
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals import t
from evaluators.rows import RewardRange, Rows
from evaluators.sums import merge
from experiments.evaluating.contrast import Difference, Own, finished, ratio_difference, ratio_sums
from tests.other_logs import MEAN, draw

DRAWN = draw(4_000, seed=3)
MODEL = np.clip(MEAN + 0.1, 0.0, 1.0)[DRAWN.context]
ROWS = Rows(DRAWN.reward, DRAWN.slot, DRAWN.behavior, DRAWN.target, MODEL, reward_range=RewardRange(0.0, 1.0))
AT = np.arange(4_000), DRAWN.slot
W = DRAWN.target[AT] / DRAWN.behavior[AT]


def said(params: Estimator, rows: Rows = ROWS) -> tuple[float, float]:
    found = finish(params, summarise({"one": params}, rows)["one"])
    return found.value, found.stderr


def by_hand(scores: np.ndarray) -> tuple[float, float]:
    return float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(scores.size))


def difference(base: object) -> Difference:
    return Difference(base, 0.95, t.Params())


def test_the_logger_s_own_value_is_the_mean_reward() -> None:
    assert said(Own()) == pytest.approx(by_hand(DRAWN.reward), rel=1e-9)


def test_of_ips_it_is_the_mean_of_the_reward_times_weight_less_one() -> None:
    assert said(difference(ips.Params())) == pytest.approx(by_hand((W - 1) * DRAWN.reward), rel=1e-9)


def test_of_doubly_robust_the_model_speaks_for_both() -> None:
    part = ((DRAWN.target - DRAWN.behavior) * MODEL).sum(axis=1)
    expected = by_hand(part + (W - 1) * (DRAWN.reward - MODEL[AT]))
    assert said(difference(doubly_robust.Params())) == pytest.approx(expected, rel=1e-9)


def test_where_the_logger_is_known_in_part_the_plain_reward_is_taken_off() -> None:
    partial = np.full(DRAWN.behavior.shape, np.nan)
    partial[AT] = DRAWN.behavior[AT]
    rows = ROWS._replace(behavior=partial, is_partial=True)
    expected = by_hand((DRAWN.target * MODEL).sum(axis=1) + W * (DRAWN.reward - MODEL[AT]) - DRAWN.reward)
    assert said(difference(doubly_robust.Params()), rows) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("declared", [None, RewardRange(0.0, 1.0)])
def test_of_a_ratio_it_is_linearised(declared: RewardRange | None) -> None:
    rows = ROWS._replace(reward_range=declared)
    found = ratio_difference(ratio_sums(snips.Params(), rows), confidence=0.95)
    value = (W * DRAWN.reward).sum() / W.sum()
    terms = W * (DRAWN.reward - value) / W.mean() - (DRAWN.reward - DRAWN.reward.mean())
    assert found.value == pytest.approx(value - DRAWN.reward.mean(), rel=1e-9)
    assert found.stderr == pytest.approx(np.sqrt((terms**2).sum() / (4_000 * 3_999)), rel=1e-9)
    assert found.lo < found.value < found.hi


def test_a_ratio_with_clusters_is_as_unsure_as_its_clusters() -> None:
    """Every row of a cluster the same: the error is that of one row per cluster."""
    small = ROWS.part(0, 400)
    tables: dict[str, Any] = {
        name: np.repeat(getattr(small, name), 5, axis=0)
        for name in ("reward", "slot", "behavior", "target", "predicted")
    }
    again = Rows(**tables, cluster=np.repeat(np.arange(400), 5))
    one = ratio_difference(ratio_sums(snips.Params(), small), confidence=0.95)
    many = ratio_difference(ratio_sums(snips.Params(), again), confidence=0.95)
    assert many.stderr == pytest.approx(one.stderr, rel=1e-6)


def test_merged_ratio_sums_are_one_pass() -> None:
    parts = [ratio_sums(snips.Params(), ROWS.part(a, b)) for a, b in ((0, 1_000), (1_000, 1_003), (1_003, 4_000))]
    joined = merge(merge(parts[2], parts[0]), parts[1])
    whole = ratio_difference(ratio_sums(snips.Params(), ROWS), confidence=0.95)
    assert ratio_difference(joined, confidence=0.95)[:4] == pytest.approx(whole[:4], rel=1e-10)


def test_a_target_equal_to_the_logger_differs_by_nothing() -> None:
    same = ROWS._replace(target=ROWS.behavior)
    for base in (ips.Params(), doubly_robust.Params()):
        assert said(difference(base), same) == pytest.approx((0.0, 0.0), abs=1e-12)
    found = ratio_difference(ratio_sums(snips.Params(), same), confidence=0.95)
    assert found[:2] == pytest.approx((0.0, 0.0), abs=1e-7)  # a variance of rounding errors has a root of 1e-8


def test_no_weight_at_all_is_no_difference_at_all() -> None:
    nothing = ROWS._replace(target=np.zeros_like(ROWS.target))
    found = ratio_difference(ratio_sums(snips.Params(), nothing), confidence=0.95)
    assert np.isnan(found.value)
    assert (found.lo, found.hi) == (-np.inf, np.inf)


@pytest.mark.parametrize("base", [ips.Params(), doubly_robust.Params()])
def test_a_target_that_was_never_logged_differs_by_nobody_knows_what(base: object) -> None:
    never = np.zeros_like(DRAWN.target)
    never[AT[0], (DRAWN.slot + 1) % 4] = 1.0
    for target, is_known in ((never, False), (DRAWN.target, True)):
        sums = summarise({"one": difference(base)}, ROWS._replace(target=target))["one"]
        found = finished(difference(base), sums)
        assert np.isfinite([found.stderr, found.lo, found.hi]).tolist() == [is_known] * 3
        assert np.isfinite(found.value)
