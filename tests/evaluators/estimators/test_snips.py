"""Oracles 1, 6, 7 and 13 for self-normalised scoring, with either of its intervals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators.snips import Params
from evaluators.intervals import hc3, t
from evaluators.rows import RewardRange, Rows, logged

LINEARISED = Params(interval=t.Params())
BOTH = pytest.mark.parametrize("params", [Params(), LINEARISED], ids=["hc3", "t"])


def weights_of(rows: Rows):
    return logged(rows.target, rows.slot) / logged(rows.behavior, rows.slot)


def exact_hc3(rows: Rows) -> float:
    weight = weights_of(rows)
    value = (weight * rows.reward).sum() / weight.sum()
    share = weight / weight.sum()
    return float(np.sqrt((((share * (rows.reward - value)) / (1 - share)) ** 2).sum()))


@pytest.fixture
def rows(world):
    return world.draw(np.random.default_rng(0), 400)[0]


def test_the_default_interval_is_hc3() -> None:
    assert Params().interval == hc3.Params()


def test_the_value_is_the_weighted_mean(rows) -> None:
    expected = np.average(rows.reward, weights=weights_of(rows))
    assert estimate(Params(), rows).value == pytest.approx(expected, rel=1e-12)


def test_a_target_equal_to_the_logger_is_worth_the_mean_reward(rows) -> None:
    found = estimate(Params(), rows._replace(target=rows.behavior))
    assert found.value == pytest.approx(rows.reward.mean(), rel=1e-12)


@BOTH
def test_value_and_error_follow_a_shift_and_a_scale_of_the_rewards(rows, params) -> None:
    before = estimate(params, rows)
    affine = rows._replace(reward=3 * rows.reward - 7, reward_range=RewardRange(-7, -4))
    after = estimate(params, affine._replace(predicted=None))
    assert after.value == pytest.approx(3 * before.value - 7, rel=1e-12)
    assert after.stderr == pytest.approx(3 * before.stderr, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_value_never_leaves_the_rewards_seen(heavy_world, seed) -> None:
    rng = np.random.default_rng(seed)
    rows, _ = heavy_world.draw(rng, 20)
    rows = rows._replace(reward=rng.normal(size=20), reward_range=None)
    found = estimate(Params(), rows)
    assert rows.reward.min() <= found.value <= rows.reward.max()


@BOTH
def test_the_error_is_the_jackknifes_at_2000_rows(world, params) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 2000)
    weight = weights_of(rows)
    total, rewarded = weight.sum(), (weight * rows.reward).sum()
    without = (rewarded - weight * rows.reward) / (total - weight)
    jackknife = np.sqrt(1999 / 2000 * ((without - without.mean()) ** 2).sum())
    assert estimate(params, rows).stderr == pytest.approx(jackknife, rel=0.02)


def test_the_linearised_error_is_the_delta_method_by_automatic_differentiation(world) -> None:
    rows, _ = world.draw(np.random.default_rng(2), 2000)
    terms = np.stack([weights_of(rows) * rows.reward, weights_of(rows)])

    def ratio(mean):
        return mean[0] / mean[1]

    gradient = np.asarray(jax.grad(ratio)(jnp.asarray(terms.mean(axis=1))))
    wanted = np.sqrt(gradient @ np.cov(terms) @ gradient / 2000)
    assert estimate(LINEARISED, rows).stderr == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("seed", range(10))
def test_hc3_is_never_below_the_exact_figure_and_within_1e_4_of_it(heavy_world, seed) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(seed), 400)
    heaviest = weights_of(rows).max() / weights_of(rows).sum()
    found, exact = estimate(Params(), rows).stderr, exact_hc3(rows)
    assert found >= exact * (1 - 1e-12)
    if heaviest <= 0.1:
        assert found <= exact * (1 + 1e-4)


def test_one_overwhelming_row_still_gets_its_exact_hc3_variance() -> None:
    # weights 2 * 0.9 and twice 0.1: the heavy row has 0.9 of the total
    target = np.array([[0.9, 0.1], [0.95, 0.05], [0.95, 0.05]])
    rows = Rows(np.array([1.0, 0.0, 0.5]), np.array([0, 1, 1]), np.full((3, 2), 0.5), target)
    found, exact = estimate(Params(), rows).stderr, exact_hc3(rows)
    assert exact <= found <= 1.01 * exact


@BOTH
def test_a_single_row_tells_nothing_about_the_error(params) -> None:
    rows = Rows(np.array([0.4]), np.array([0]), np.array([[0.5, 0.5]]), np.array([[0.7, 0.3]]))
    found = estimate(params, rows)
    assert found.value == pytest.approx(0.4, rel=1e-12)
    assert (found.lo, found.hi) == (-np.inf, np.inf)


@BOTH
def test_no_row_with_a_weight_is_not_a_number(rows, params) -> None:
    only_first = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (400, 1))
    unseen = rows._replace(slot=np.ones(400, dtype=np.int64), target=only_first)
    found = estimate(params, unseen)
    assert np.isnan(found.value)
    assert found.ess == 0.0
    assert found.stderr == np.inf
    assert not found.lo > -np.inf
    assert not found.hi < np.inf


def test_clusters_of_one_row_give_at_least_the_linearised_error(rows) -> None:
    alone = rows._replace(cluster=np.arange(400))
    linear = estimate(LINEARISED, rows)
    np.testing.assert_allclose(estimate(LINEARISED, alone).stderr, linear.stderr, rtol=1e-12)
