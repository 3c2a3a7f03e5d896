"""Oracles 1, 2, 6, 10 and 14 for inverse propensity scoring."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators.ips import Params
from evaluators.rows import RewardRange, Rows, logged


def by_hand() -> Rows:
    # weights 2, 0, 0.5 on rewards 1, 1, 0.5: terms 2, 0, 0.25
    return Rows(
        reward=np.array([1.0, 1.0, 0.5]),
        slot=np.array([0, 1, 1]),
        behavior=np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]]),
        target=np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.4]]),
    )


def test_the_value_weight_and_sample_size_by_hand() -> None:
    found = estimate(Params(), by_hand())
    assert found.value == pytest.approx(0.75, rel=1e-12)
    assert found.max_weight == 2.0
    assert found.ess == pytest.approx(2.5**2 / 4.25, rel=1e-12)
    assert found.n == 3


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_interval_is_scipys_student_t(confidence) -> None:
    found = estimate(Params(confidence=confidence), by_hand())
    terms = np.array([2.0, 0.0, 0.25])
    wanted = stats.t.interval(confidence, 2, loc=terms.mean(), scale=stats.sem(terms))
    np.testing.assert_allclose((found.lo, found.hi), wanted, rtol=1e-9)


@pytest.mark.parametrize("declared", [None, RewardRange(-3.0, 5.0)])
def test_the_origin_of_the_sums_does_not_show(declared) -> None:
    plain = estimate(Params(), by_hand())
    np.testing.assert_allclose(estimate(Params(), by_hand()._replace(reward_range=declared)), plain, rtol=1e-12)


def test_a_target_equal_to_the_logger_is_worth_the_mean_reward(world) -> None:
    rows, _ = world.draw(np.random.default_rng(0), 400)
    found = estimate(Params(), rows._replace(target=rows.behavior))
    np.testing.assert_allclose(found.value, rows.reward.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.stderr, stats.sem(rows.reward), rtol=1e-12)
    assert found.ess == pytest.approx(400, rel=1e-12)


def test_the_mean_over_2000_logs_of_200_is_the_truth(world, draw_shared, values_of) -> None:
    # |z| <= 4, false alarm 6e-5
    rows = draw_shared(world, np.random.default_rng(1), 400_000)
    values = values_of(Params(), rows, 2000)
    assert values.shape == (2000,)
    assert abs(values.mean() - world.truth()) <= 4 * stats.sem(values)


def test_the_weights_average_one(world) -> None:
    # |z| <= 4, false alarm 6e-5
    rows, _ = world.draw(np.random.default_rng(1), 400_000)
    weight = logged(rows.target, rows.slot) / logged(rows.behavior, rows.slot)
    assert abs(weight.mean() - 1) <= 4 * stats.sem(weight)


def test_a_shift_of_the_rewards_is_scaled_by_the_mean_weight() -> None:
    rows = by_hand()
    moved = estimate(Params(), rows._replace(reward=rows.reward + 3.0)).value
    # mean weight 2.5 / 3
    assert moved - 0.75 == pytest.approx(2.5, rel=1e-12)


def test_no_row_with_a_weight_means_no_known_error() -> None:
    rows = by_hand()
    unseen = rows._replace(slot=np.array([1, 1, 1]), target=np.tile([1.0, 0.0], (3, 1)))
    found = estimate(Params(), unseen)
    assert (found.ess, found.stderr, found.lo, found.hi) == (0.0, np.inf, -np.inf, np.inf)


def test_clusters_widen_the_interval_of_rows_that_repeat_each_other(world) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 100)
    index = np.repeat(np.arange(100), 4)
    arrays = {name: getattr(rows, name)[index] for name in ("reward", "slot", "behavior", "target")}
    copied = Rows(**arrays, cluster=index)
    once = estimate(Params(), rows._replace(predicted=None))
    np.testing.assert_allclose(estimate(Params(), copied).stderr, once.stderr, rtol=1e-12)
    assert estimate(Params(), copied._replace(cluster=None)).stderr < 0.51 * once.stderr


def test_rows_without_a_log_are_refused() -> None:
    with pytest.raises(ValueError, match=r"propensity\[0\] = 0"):
        estimate(Params(), by_hand()._replace(behavior=np.tile([0.0, 1.0], (3, 1))))
