"""Softmax: uniform when blunt, greedy when sharp, by hand between."""

import numpy as np
import pytest

from policies.base import Belief
from policies.learners import softmax
from tests.hand import SHARED, decision, window

POLICY, HELD = softmax.make(SHARED), decision(window([True, True, False, True]))
BELIEF = Belief(np.array([0.1, 0.3, 0.9, 0.2]), np.ones(4), np.zeros((4, 2)))


def probs(sharpness: float, belief: Belief = BELIEF) -> np.ndarray:
    return np.asarray(POLICY.probs(softmax.Params(sharpness=sharpness), None, HELD, belief))


def test_by_hand() -> None:
    """Sharpness 10 ln 2: a tenth of reward doubles the probability; 1 : 4 : 2."""
    assert probs(10 * np.log(2)) == pytest.approx(np.array([1, 4, 0, 2]) / 7)


def test_sharpness_zero_is_uniform_over_what_is_feasible() -> None:
    assert probs(0.0) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


def test_a_large_sharpness_is_greedy_and_does_not_overflow() -> None:
    assert probs(1e6).tolist() == [0, 1, 0, 0]


def test_a_common_shift_changes_nothing() -> None:
    assert probs(7.0, BELIEF._replace(mean=BELIEF.mean + 50)) == pytest.approx(probs(7.0), abs=1e-12)
