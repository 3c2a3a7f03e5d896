"""Oracles 1, 6, 7 and 13 for the self-normalised doubly robust value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import direct, doubly_robust, snips
from evaluators.estimators.self_normalised_dr import Params
from evaluators.intervals import hc3, t
from evaluators.rows import RewardRange, Rows, logged


def terms_of(rows: Rows):
    """Opinions, weighted errors and weights of the rows."""
    weight = logged(rows.target, rows.slot) / logged(rows.behavior, rows.slot)
    assert rows.predicted is not None
    error = rows.reward - logged(rows.predicted, rows.slot)
    return np.stack([(rows.target * rows.predicted).sum(axis=1), weight * error, weight])


@pytest.fixture
def rows(world):
    return world.draw(np.random.default_rng(0), 2000)[0]


def test_the_value_is_the_models_opinion_plus_the_weighted_mean_of_its_errors(rows) -> None:
    opinion, error, weight = terms_of(rows)
    wanted = opinion.mean() + error.sum() / weight.sum()
    assert estimate(Params(), rows).value == pytest.approx(wanted, rel=1e-12)


def test_a_model_of_zeros_is_snips(rows) -> None:
    empty = rows._replace(predicted=np.zeros_like(rows.behavior))
    wanted = estimate(snips.Params(interval=t.Params()), rows)
    np.testing.assert_allclose(estimate(Params(), empty), wanted, rtol=1e-11)


def test_without_weight_on_any_row_it_is_not_a_number(rows) -> None:
    only_first = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (2000, 1))
    unseen = rows._replace(slot=np.ones(2000, dtype=np.int64), target=only_first)
    found = estimate(Params(), unseen)
    assert np.isnan(found.value)
    assert found.stderr == np.inf


def test_a_shift_of_the_rewards_shifts_the_value_by_as_much(rows) -> None:
    before, moved = estimate(Params(), rows), rows._replace(reward=rows.reward - 7, reward_range=None)
    after = estimate(Params(), moved)  # the model stays where it was
    assert after.value == pytest.approx(before.value - 7, rel=1e-12)
    assert after.stderr == pytest.approx(before.stderr, rel=1e-9)
    assert abs(estimate(doubly_robust.Params(interval=t.Params()), moved).value - before.value + 7) > 0.01


def test_value_and_error_follow_an_affine_change_of_rewards_and_model(rows) -> None:
    before = estimate(Params(), rows)
    affine = {"reward": 3 * rows.reward - 7, "predicted": 3 * rows.predicted - 7, "reward_range": RewardRange(-7, -4)}
    after = estimate(Params(), rows._replace(**affine))
    assert after.value == pytest.approx(3 * before.value - 7, rel=1e-12)
    assert after.stderr == pytest.approx(3 * before.stderr, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_the_value_stays_within_one_range_of_the_models_opinion(heavy_world, seed) -> None:
    # hence within twice the range of any value; plain DR leaves it on the same logs
    rows, _ = heavy_world.draw(np.random.default_rng(seed), 20)
    opinion = estimate(direct.Params(), rows).value
    assert abs(estimate(Params(), rows).value - opinion) <= 1.0


def test_plain_doubly_robust_values_leave_that_band(heavy_world, draw_shared, values_of) -> None:
    rows = draw_shared(heavy_world, np.random.default_rng(0), 20_000)
    plain, opinion, mine = (
        values_of(params, rows, 1000)
        for params in (doubly_robust.Params(interval=t.Params()), direct.Params(), Params())
    )
    assert np.abs(plain - opinion).max() > 1.0
    assert np.abs(mine - opinion)[np.isfinite(mine)].max() <= 1.0


def test_the_error_is_the_jackknifes_at_2000_rows(rows) -> None:
    opinion, error, weight = terms_of(rows)
    without = (opinion.sum() - opinion) / 1999 + (error.sum() - error) / (weight.sum() - weight)
    jackknife = np.sqrt(1999 / 2000 * ((without - without.mean()) ** 2).sum())
    assert estimate(Params(), rows).stderr == pytest.approx(jackknife, rel=0.02)


def test_the_error_is_the_delta_method_by_automatic_differentiation(rows) -> None:
    terms = terms_of(rows)

    def value(mean):
        return mean[0] + mean[1] / mean[2]

    gradient = np.asarray(jax.grad(value)(jnp.asarray(terms.mean(axis=1))))
    wanted = np.sqrt(gradient @ np.cov(terms) @ gradient / 2000)
    assert estimate(Params(), rows).stderr == pytest.approx(wanted, rel=1e-8)


def test_the_value_is_the_truth_on_a_long_log_with_a_biased_model(world, draw_shared) -> None:
    # |z| <= 4, false alarm 6e-5; the bias is O(1 / n)
    found = estimate(Params(), draw_shared(world, np.random.default_rng(1), 400_000))
    assert abs(found.value - world.truth()) <= 4 * found.stderr


def test_what_cannot_be_done_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="estimator self_normalised_dr needs rows.predicted"):
        estimate(Params(), rows._replace(predicted=None))
    with pytest.raises(ValueError, match="without a model part"):
        estimate(Params(interval=hc3.Params()), rows)
