"""Thompson's vector is P(action is best): by draws where joint, by quadrature where independent."""

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from policies.base import Belief
from policies.decide import asked_in
from policies.features import phi
from policies.learners.thompson import Params, best_by_draws, best_by_quadrature, make
from policies.masses import TIE
from tests.hand import DISJOINT, SHARED, choice, decision, feedback, generator, window

TOLERANCE = 4e-4  # total variation, as the module promises
Z, STEP = np.linspace(-8, 8, 4001, retstep=True)


def on(k: int) -> np.ndarray:
    return np.ones(k, np.bool_)


def reference(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """P(best) by 4,001 points in each action's own unit: every density is resolved, whatever its width."""
    won = []
    for i in range(len(mean)):
        others = np.arange(len(mean)) != i
        beaten = ndtr((mean[i] + sd[i] * Z[None, :] - mean[others, None]) / sd[others, None]).prod(axis=0)
        won.append((np.exp(-(Z**2) / 2) * beaten).sum() * STEP / np.sqrt(2 * np.pi))
    return np.array(won)


def test_two_equal_arms_have_a_half_each() -> None:
    assert best_by_quadrature(np.full(2, 0.3), np.full(2, 0.1), on(2)) == pytest.approx([0.5, 0.5], abs=1e-12)


@pytest.mark.parametrize("gap", [-1.0, -0.1, 0.0, 0.3, 2.0])
@pytest.mark.parametrize("ratio", [1.0, 3.0, 20.0, 300.0])
def test_two_arms_follow_the_closed_form(gap: float, ratio: float) -> None:
    """P(A > B) = Phi((a - b) / sqrt(sd_a^2 + sd_b^2))."""
    sd = np.array([1.0, 1 / ratio])
    probs = best_by_quadrature(np.array([gap, 0.0]), sd, on(2))
    assert probs[0] == pytest.approx(ndtr(gap / np.hypot(*sd)), abs=TOLERANCE)


@pytest.mark.parametrize("ratio", [1, 3, 10, 30, 100, 1000])
def test_a_narrow_posterior_beside_wide_ones_is_resolved(ratio: int) -> None:
    """An action played often beside actions never played: the usual state of a young policy."""
    mean, sd = np.array([0.2, 0.0, 0.1, 0.19]), np.array([1 / ratio, 1.0, 1.0, 2 / ratio])
    probs = best_by_quadrature(mean, sd, on(4))
    assert np.abs(probs - reference(mean, sd)).sum() / 2 < TOLERANCE


@pytest.mark.parametrize("ratio", [1e4, 1e5])
@pytest.mark.parametrize("gap", [-0.5, 0.0, 0.6])
def test_the_narrowest_posterior_costs_no_more_than_a_thousandth(ratio: float, gap: float) -> None:
    two = np.array([1.0, 1 / ratio])
    probs = best_by_quadrature(np.array([gap, 0.0]), two, on(2))
    assert probs[0] == pytest.approx(ndtr(gap / np.hypot(*two)), abs=1e-3)
    mean, sd = np.array([1.0, *[0.2] * 74]), np.array([0.3 / ratio, *[0.3] * 74])
    assert np.abs(best_by_quadrature(mean + gap * sd, sd, on(75)) - reference(mean + gap * sd, sd)).sum() / 2 < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_window_after_some_learning_keeps_the_promise(seed: int) -> None:
    """30 actions played now and then beside 45 never played; and 75 of all widths."""
    rng = generator(seed)
    played, untouched = rng.normal(0.3, 0.05, 30), np.full(45, 0.2)
    young = np.concatenate([10 ** rng.uniform(-1.6, -0.7, 30), np.full(45, 0.6)])
    for mean, sd in (
        (np.concatenate([played, untouched]), young),
        (rng.normal(0.3, 0.1, 75), 10 ** rng.uniform(-3, -0.5, 75)),
    ):
        assert np.abs(best_by_quadrature(mean, sd, on(75)) - reference(mean, sd)).sum() / 2 < TOLERANCE


@pytest.mark.parametrize("seed", range(40))
def test_the_quadrature_keeps_its_promise_for_random_posteriors(seed: int) -> None:
    rng = generator(seed)
    k = int(rng.integers(2, 25))
    mean, sd = rng.normal(0, 10 ** rng.uniform(-2, 0), k), 10 ** rng.uniform(-2.5, 0, k)
    probs = best_by_quadrature(mean, sd, on(k))
    assert np.abs(probs - reference(mean, sd)).sum() / 2 < TOLERANCE


@pytest.mark.parametrize("seed", range(6))
def test_the_quadrature_agrees_with_a_million_monte_carlo_draws(seed: int) -> None:
    """10^6 draws, 6 x 5 shares: 4.8 standard errors and the promised error; false alarms below 1e-4."""
    rng, n, parts = generator(1000 + seed), 1_000_000, 10
    mean, sd = rng.normal(0, 0.3, 5), 10 ** rng.uniform(-2, 0, 5)
    won = np.zeros(5)
    for _ in range(parts):
        best = (mean[:, None] + sd[:, None] * rng.standard_normal((5, n // parts))).argmax(axis=0)
        won += np.bincount(best, minlength=5)
    probs = best_by_quadrature(mean, sd, on(5))
    assert np.all(np.abs(probs - won / n) <= 4.8 * np.sqrt(probs * (1 - probs) / n) + TOLERANCE + 1 / n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_actions_alike_share_alike_in_either_precision(dtype: Any) -> None:
    """A product of 256 CDFs near Phi(-4) underflows where nobody wins: it must not spoil the rest."""
    mean, sd = np.full(256, 0.2, dtype), np.full(256, 0.1, dtype)
    probs = best_by_quadrature(mean, sd, on(256))
    assert probs.dtype == dtype
    assert probs == pytest.approx(np.full(256, 1 / 256), rel=1e-4)


@pytest.mark.parametrize("gap", [-1.0, -0.5, -0.1, 0.3, 1.0])
def test_two_equal_widths_are_exact_up_to_the_quick_cdf(gap: float) -> None:
    """Its source promises 7.5e-8; the grid adds less than 1e-8 where no density is narrow beside the other."""
    probs = best_by_quadrature(np.array([gap, 0.0]), np.ones(2), on(2))
    assert probs[0] == pytest.approx(ndtr(gap / np.sqrt(2)), abs=8.5e-8)


def test_what_is_not_feasible_or_cannot_win_gets_nothing() -> None:
    mean, sd = np.array([0.0, 9.0, 0.1, -50.0]), np.array([0.1, 0.1, 0.1, 0.1])
    probs = best_by_quadrature(mean, sd, np.array([True, False, True, True]))
    assert probs[[1, 3]].tolist() == [0, 0]
    assert probs[2] == pytest.approx(ndtr(0.1 / np.hypot(0.1, 0.1)), abs=TOLERANCE)
    alone = best_by_quadrature(mean, sd, np.array([False, True, False, False]))
    assert alone == pytest.approx([0, 1, 0, 0])


def test_no_spread_at_all_is_greedy() -> None:
    assert best_by_quadrature(np.array([0.1, 0.2]), np.zeros(2), on(2)) == pytest.approx([0, 1])


def test_shared_draws_share_the_wins_and_split_ties() -> None:
    """Four draws: slot 0 wins one, slot 1 one, both tie in one, slot 2 is closer than a tie in the last."""
    draws = np.array([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 1.0], [0.2, 0.2, 0.2, 1.0 - TIE / 2]])
    share = best_by_draws(draws, on(3), span=np.float64(1))
    assert share == pytest.approx([1.5 / 4, 2 / 4, 0.5 / 4])


@pytest.mark.parametrize(("n_draws", "bound"), [(64, 0.25), (4096, 0.04)])
def test_more_shared_draws_come_closer_to_the_joint_posterior(n_draws: int, bound: float) -> None:
    """9 actions after 40 rewards, against 2e5 independent draws (their own error: below 0.005).

    Of n draws in opposite pairs, sum_a |p_a - P_a| / 2 expects about sqrt(9 / (pi n / 2)): 0.3 and 0.04.
    """
    spec, params, rng = SHARED._replace(n_draws=n_draws), Params(), generator(5)
    policy = make(spec)
    state, held = policy.init(params), window([True] * 9)
    for _ in range(40):
        here = decision(held, features=rng.standard_normal(3), task=int(rng.integers(2)))
        action = int(rng.integers(9))
        state = policy.update(params, state, here, choice(action, action), feedback(float(rng.random())))
    here = decision(held, features=rng.standard_normal(3))
    assert policy.belief is not None
    belief = policy.belief(params, state, asked_in(here), held.action_ids)
    root = phi(spec, here.features, here.task, held.action_ids) @ state.root
    drawn = belief.mean[:, None] + root @ rng.standard_normal((root.shape[1], 200_000))
    truth = np.bincount(drawn.argmax(axis=0), minlength=9) / 200_000
    assert np.abs(policy.probs(params, state, here, belief) - truth).sum() / 2 < bound


def test_a_draw_never_goes_to_what_is_not_feasible() -> None:
    draws = np.array([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0]])
    share = best_by_draws(draws, np.array([True, False, True]), span=np.float64(1))
    assert share == pytest.approx([0.5, 0, 0.5])


def test_each_kind_of_features_has_its_own_vector() -> None:
    belief = Belief(np.array([0.1, 0.2]), np.array([0.1, 0.3]), np.array([[0.2, 0.2], [0.1, 0.1]]))
    here = decision(window([True, True]))
    assert make(SHARED).probs(Params(), None, here, belief).tolist() == [1, 0]
    expected = best_by_quadrature(belief.mean, belief.sd, on(2))
    assert np.array_equal(make(DISJOINT).probs(Params(features="disjoint"), None, here, belief), expected)
