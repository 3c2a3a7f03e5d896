"""Greedy on the posterior mean; its epsilon is the floor, or decays towards it."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.floored import floored
from policies.learners import epsilon_greedy
from tests.hand import SHARED, decision, window

HELD = window([True, True, False, True], incumbent=3)
BELIEF = Belief(np.array([0.2, 0.6, 0.9, 0.4]), np.zeros(4), np.zeros((4, 2)))


def test_greedy_takes_the_best_feasible_mean_whatever_its_spread() -> None:
    policy, params = epsilon_greedy.make(SHARED), epsilon_greedy.Params()
    for sd in (np.zeros(4), np.array([9.0, 0, 0, 5.0])):
        assert policy.probs(params, None, decision(HELD), BELIEF._replace(sd=sd)).tolist() == [0, 1, 0, 0]


def test_epsilon_is_spread_over_what_is_feasible() -> None:
    """0.3 over three: 0.1 each, and 0.7 more on the best."""
    probs = floored(epsilon_greedy.make(SHARED)).probs(epsilon_greedy.Params(floor=0.3), None, decision(HELD), BELIEF)
    assert probs == pytest.approx([0.1, 0.8, 0, 0.1])


def test_before_any_data_the_incumbent_is_greedy() -> None:
    policy, params = epsilon_greedy.make(SHARED), epsilon_greedy.Params()
    here = decision(HELD, features=[1, -2, 3])
    assert policy.belief is not None
    prior = policy.belief(params, policy.init(params), asked_in(here), HELD.action_ids)
    assert policy.probs(params, None, here, prior).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("t", "share"),
    [
        (0, 0.6),
        (20, 0.3),  # half of it after `halving` evaluations
        (40, 0.2),  # 0.6 * 20 / 60
        (100, 0.1),  # 0.6 * 20 / 120: the floor from here on
        (10**6, 0.1),
    ],
)
def test_what_is_explored_in_all_is_the_larger_of_floor_and_decay(t: int, share: float) -> None:
    """Floor and decay together spread `share` over three feasible actions, and no more."""
    params = epsilon_greedy.Params(floor=0.1, epsilon=0.6, halving=20.0)
    here = decision(HELD)._replace(t=np.int32(t))
    probs = floored(epsilon_greedy.make(SHARED)).probs(params, None, here, BELIEF)
    assert probs == pytest.approx([share / 3, 1 - 2 * share / 3, 0, share / 3], abs=1e-12)


@pytest.mark.parametrize(("floor", "epsilon"), [(0.3, 0.0), (0.3, 0.3), (1.0, 1.0), (1.0, 0.2)])
def test_an_epsilon_at_most_the_floor_is_a_constant_share(floor: float, epsilon: float) -> None:
    params = epsilon_greedy.Params(floor=floor, epsilon=epsilon)
    for t in (0, 7):
        here = decision(HELD)._replace(t=np.int32(t))
        assert epsilon_greedy.make(SHARED).probs(params, None, here, BELIEF).tolist() == [0, 1, 0, 0]
