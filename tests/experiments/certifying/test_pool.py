"""The pool: its tables against the published figures of the problem, its draws against its tables."""

import numpy as np
import pytest

from experiments.certifying.pool import BASE, FAR, HELD_OUT, NEAR, open_pool


def test_the_base_problem_is_the_one_on_which_the_methods_were_chosen() -> None:
    """Truth 0.58933, design ESS/n 0.115, largest weight 6,281, as recorded with the choice."""
    pool = open_pool()
    assert pool.q.shape == (40_000, 50)
    assert pool.truth == pytest.approx(0.58933, abs=5e-6)
    assert pool.ess_share == pytest.approx(0.115, abs=5e-4)
    assert (pool.target / pool.behavior).max() == pytest.approx(6281, abs=0.5)


@pytest.mark.parametrize("seed", [BASE, *HELD_OUT])
def test_every_draw_of_the_problem_has_probabilities_and_a_model_within_range(seed) -> None:
    pool = open_pool(seed, n_contexts=500)
    for policy in (pool.behavior, pool.target):
        assert policy.min() > 0
        np.testing.assert_allclose(policy.sum(axis=1), 1.0, rtol=1e-12)
    assert pool.predicted.min() >= 0 and pool.predicted.max() <= 1
    assert 0 < pool.ess_share < 1
    assert seed == BASE or abs(pool.truth - open_pool(n_contexts=500).truth) > 1e-4  # another problem


def test_draws_follow_the_loggers_and_the_rewards_tables() -> None:
    """100,000 decisions, 20 contexts: cells and rewards within 4.5 standard errors; false alarm 1 %."""
    pool = open_pool(n_contexts=20)
    drawn = pool.draw(np.random.default_rng(3), 50, 2000)
    assert drawn.row.shape == drawn.slot.shape == drawn.reward.shape == (50, 2000)
    assert drawn.row.dtype == drawn.slot.dtype == np.int32
    place, n = (drawn.row * 50 + drawn.slot).ravel(), drawn.row.size
    share = pool.behavior.ravel() / 20
    hits = np.bincount(place, minlength=1000)
    assert np.max(np.abs(hits - n * share) / np.sqrt(n * share + 1)) < 4.5  # + 1: some cells are nearly empty
    q = pool.q.ravel()[place]
    error = (drawn.reward.ravel() - q).sum() / np.sqrt((q * (1 - q)).sum())
    assert abs(error) < 4
    assert set(np.unique(drawn.reward)) == {0.0, 1.0}


def test_equal_generators_draw_equal_logs() -> None:
    pool = open_pool(n_contexts=30)
    one, two = (pool.draw(np.random.default_rng(9), 2, 40) for _ in range(2))
    for name in ("row", "slot", "reward"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize(("difference", "eta"), [(0.0, FAR), (0.1, FAR), (-0.01, NEAR), (0.04, NEAR)])
def test_a_target_at_a_difference_is_better_by_exactly_that(difference, eta) -> None:
    pool = open_pool(n_contexts=400).at_difference(difference, eta)
    assert pool.truth - pool.logger_value == pytest.approx(difference, abs=1e-8)
    np.testing.assert_allclose(pool.target.sum(axis=1), 1.0, rtol=1e-12)
    assert np.all(pool.target >= (1 - eta) * pool.behavior)


def test_a_difference_out_of_reach_is_refused_with_the_range() -> None:
    with pytest.raises(ValueError, match=r"difference = 0.9 at eta = 0.3, need .* a larger eta"):
        open_pool(n_contexts=50).at_difference(0.9, NEAR)


def test_a_shift_makes_rewards_rare_and_sharpness_makes_weights_heavy() -> None:
    plain, rare = open_pool(n_contexts=300), open_pool(n_contexts=300, shift=-3.0)
    sharp = open_pool(n_contexts=300, sharpness=1.5)
    assert rare.truth < 0.15 < plain.truth
    assert sharp.ess_share < plain.ess_share
