"""Greedy on the posterior mean; its epsilon is the floor."""

import numpy as np
import pytest

from policies.base import Belief
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
    prior = policy.belief(params, policy.init(params), here.features[None, :], here.task, HELD.action_ids)
    assert policy.probs(params, None, here, prior).tolist() == [0, 0, 0, 1]
