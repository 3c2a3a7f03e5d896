"""Student's t on cut scores: SciPy's on each side, and a tail that heavy weights no longer have."""

import numpy as np
import pytest
from scipy import stats

from evaluators.cut import cut_scores, cut_tables
from evaluators.estimation import estimate, finish_as, summarise, summarise_logs
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.gates import difference_sums
from evaluators.intervals import t
from evaluators.intervals.cut_t import Params, columns, needs
from evaluators.rows import RewardRange, Rows

DR = doubly_robust.Params(interval=Params(cut=3.0))


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_each_end_is_scipys_on_its_own_scores(rows, confidence) -> None:
    lower, upper = cut_scores(cut_tables(rows, (3.0,)), rows)
    found = finish_as(DR.interval, summarise({"one": DR}, rows)["one"], confidence=confidence)
    below, above = (stats.t.interval(confidence, 299, s[0].mean(), stats.sem(s[0])) for s in (lower, upper))
    assert (found.lo, found.hi) == pytest.approx((below[0], above[1]), rel=1e-9)
    assert found.value == pytest.approx((lower.mean() + upper.mean()) / 2, rel=1e-10)


def test_a_cut_beyond_every_weight_is_plain_t_on_doubly_robust_scores(rows) -> None:
    heaviest = float((rows.target / rows.behavior).max())
    found = estimate(doubly_robust.Params(interval=Params(cut=heaviest)), rows)
    wanted = estimate(doubly_robust.Params(interval=t.Params()), rows)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_a_cut_of_zero_is_plain_t_on_importance_weighted_rewards_and_needs_no_model(rows) -> None:
    found = estimate(ips.Params(interval=Params(cut=0.0)), rows._replace(predicted=None))
    assert found.lo == pytest.approx(estimate(ips.Params(interval=t.Params()), rows).lo, rel=1e-9)
    losses = estimate(ips.Params(interval=t.Params()), rows._replace(reward=1 - rows.reward))
    assert found.hi == pytest.approx(1 - losses.lo, rel=1e-9)


def test_columns_are_in_reward_units_about_the_middle_of_the_range(rows) -> None:
    wide = rows._replace(
        reward=4 * rows.reward - 1, predicted=4 * rows.predicted - 1, reward_range=RewardRange(-1.0, 3.0)
    )
    np.testing.assert_allclose(columns(Params(), wide), 4 * columns(Params(), rows), atol=1e-12)
    lower, upper = columns(Params(cut=2.0), rows)
    assert lower.min() >= -2.5
    assert upper.max() <= 2.5


def test_the_interval_is_the_targets_whatever_the_estimator(rows) -> None:
    found = [estimate(kind.Params(interval=Params(cut=3.0)), rows) for kind in (doubly_robust, snips, ips)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-10)


def test_its_lower_bound_keeps_its_promise_where_the_t_bound_breaks_it(pool, draw_logs) -> None:
    # one-sided 95 % at n = 200, k = 20, 2,000 logs: 5 % against 10 %; 4 standard errors above 5 %
    params = doubly_robust.Params(interval=Params())
    both = {"cut": params, "t": doubly_robust.Params(interval=t.Params())}
    sums = summarise_logs(both, draw_logs(4, n_logs=2000, n=200), n_logs=2000)
    errors = {
        name: float((finish_as(both[name].interval, sums[name], confidence=0.9).lo > pool.truth).mean())
        for name in both
    }
    threshold = 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)
    assert errors["cut"] <= threshold < errors["t"]


def test_clusters_of_copies_count_once(rows) -> None:
    index = np.repeat(np.arange(300), 3)
    arrays = {name: x[index] for name, x in rows._asdict().items() if isinstance(x, np.ndarray)}
    copied = rows._replace(**arrays, cluster=index)
    np.testing.assert_allclose(estimate(DR, copied)[:4], estimate(DR, rows)[:4], rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"reward_range": None}, "reward_range is None"), ({"predicted": None}, "need a reward model to cut")],
)
def test_what_cannot_be_cut_is_refused(rows, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(ips.Params(interval=Params()), rows._replace(**changes))


def test_sums_made_for_another_interval_or_of_a_difference_are_refused(rows) -> None:
    assert needs(Params()) == {"columns"}
    other = summarise({"one": doubly_robust.Params()}, rows)["one"]
    difference = difference_sums(Params(), rows._replace(target=rows.behavior), target=rows.target)
    for sums in (other, difference):
        with pytest.raises(ValueError, match="a difference has no cut scores, use half_model or hall"):
            finish_as(Params(), sums, confidence=0.9)


def test_one_heavy_row_does_not_turn_the_interval_around() -> None:
    # weight 50 with a reward: the lower scores' mean lies above the upper ones'
    target = np.tile([0.5, 0.5], (10, 1))
    behavior = np.tile([0.99, 0.01], (10, 1))
    slot = np.array([1, *[0] * 9])
    rows = Rows((slot == 1).astype(float), slot, behavior, target, target, reward_range=RewardRange(0.0, 1.0))
    lower, upper = columns(Params(cut=1.0), rows)
    assert lower.mean() > upper.mean()
    for confidence in (0.01, 0.5, 0.95):
        found = estimate(doubly_robust.Params(confidence=confidence, interval=Params(cut=1.0)), rows)
        assert found.lo <= found.value <= found.hi
