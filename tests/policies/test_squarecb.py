"""SquareCB: inverse-gap weights by hand, and the inequality that its regret bound rests on."""

import numpy as np
import pytest

from policies.base import Belief, Spec
from policies.decide import weigh
from policies.learners import squarecb
from tests.hand import DISJOINT, SHARED, choice, decision, feedback, generator, leaves, window

POLICY = squarecb.make(SHARED)


def probs(mean: list[float] | np.ndarray, params: squarecb.Params, *, t: int = 0, span: float = 1.0) -> np.ndarray:
    """The vector over means, the last slot infeasible and better than all."""
    values = np.array([*mean, 9.0])
    held = window([True] * len(mean) + [False])
    here = decision(held, span=span)._replace(t=np.int32(t))
    belief = Belief(values, np.zeros_like(values), np.zeros((len(values), 2)))
    return np.asarray(POLICY.probs(params, None, here, belief))


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (0, [7 / 12, 1 / 4, 1 / 6, 0]),  # gamma 10: 1 / (3 + 1), 1 / (3 + 3), the rest
        (3, [31 / 45, 1 / 5, 1 / 9, 0]),  # gamma 10 * sqrt(4) = 20: 1 / (3 + 2), 1 / (3 + 6)
    ],
)
def test_the_vector_by_hand(t: int, expected: list[float]) -> None:
    params = squarecb.Params(sharpness=10.0, power=0.5)
    assert probs([0.5, 0.4, 0.2], params, t=t) == pytest.approx(expected, abs=1e-15)


def test_gaps_are_told_in_the_unit_of_the_declared_range() -> None:
    params = squarecb.Params(sharpness=10.0)
    assert probs([5.0, 4.0, 2.0], params, span=10.0) == pytest.approx(probs([0.5, 0.4, 0.2], params), abs=1e-15)


def test_equal_means_or_no_sharpness_is_uniform_and_a_constant_changes_nothing() -> None:
    assert probs([0.3] * 3, squarecb.Params()) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert probs([0.5, 0.4, 0.2], squarecb.Params(sharpness=0.0)) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    high = probs([3.5, 3.4, 3.2], squarecb.Params(power=0.0), t=9)
    assert high == pytest.approx(probs([0.5, 0.4, 0.2], squarecb.Params(power=0.0)), abs=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_regret_beyond_the_squared_error_is_at_most_2_k_over_gamma(seed: int) -> None:
    """Lemma 3 of the paper, for any truth f and prediction y.

    The sum over a of p_a (f(best) - f(a) - gamma / 4 (y(a) - f(a))^2) is at most 2 k / gamma.
    """
    rng = generator(seed)
    k, gamma = int(rng.integers(2, 30)), float(10 ** rng.uniform(-1, 3))
    truth, predicted = rng.random(k), np.clip(rng.random(k) + rng.normal(0, 0.3, k), 0, 1)
    p = probs(predicted, squarecb.Params(sharpness=gamma))[:k]
    assert (p * (truth.max() - truth - gamma / 4 * (predicted - truth) ** 2)).sum() <= 2 * k / gamma


@pytest.mark.parametrize("spec", [SHARED, DISJOINT])
def test_it_follows_its_belief_and_refuses_what_is_not_valid(spec: Spec) -> None:
    policy, params = squarecb.make(spec), squarecb.Params(features=spec.features, power=0.0)
    held = window([True, True, True])
    here, state = decision(held, features=[1, 0, 0]), policy.init(params)
    for _ in range(20):
        state = policy.update(params, state, here, choice(1, 1), feedback(0.9))
        state = policy.update(params, state, here, choice(0, 0), feedback(0.1))
    masses = weigh(policy, params, state, here)
    assert masses.argmax() == 1 and masses.min() > 0
    for reward in (np.nan, np.inf, 0.2):
        assert leaves(policy.update(params, state, here, choice(2, 2), feedback(reward, valid=False))) == leaves(state)
