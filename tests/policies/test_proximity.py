"""Closeness to the incumbent: symmetric, decreasing, blind to the context."""

import numpy as np
import pytest

from policies.learners import proximity
from tests.hand import SHARED, choice, decision, feedback, window

POLICY, OFFSETS = proximity.make(SHARED), np.array(SHARED.offsets)


def probs(sharpness: float = 2.0, *, features: tuple[float, ...] = (0, 0, 0), on: tuple[bool, ...] = (True,) * 9):
    here = decision(window(on, incumbent=4), features=features)
    return POLICY.probs(proximity.Params(sharpness=sharpness), (), here, None)


def test_by_hand() -> None:
    """Sharpness ln 2: one step halves, a diagonal step quarters; 1 + 4/2 + 4/4 = 4."""
    assert probs(np.log(2)).tolist() == pytest.approx(
        [1 / 16, 1 / 8, 1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16, 1 / 8, 1 / 16]
    )


def test_symmetric_and_decreasing_with_distance() -> None:
    p = probs()
    assert np.array_equal(p, p[::-1])
    distance = (OFFSETS**2).sum(axis=1)
    for near in range(9):
        assert np.all(p[near] > p[distance > distance[near]])


def test_distance_counts_in_window_radii() -> None:
    wide = SHARED._replace(offsets=tuple((0, j) for j in range(-2, 3)))
    params = proximity.Params(sharpness=np.log(16))
    p = proximity.make(wide).probs(params, (), decision(window([True] * 5, incumbent=2)), None)
    assert p / p[2] == pytest.approx([1 / 16, 1 / 2, 1, 1 / 2, 1 / 16])


def test_sharpness_zero_is_uniform_over_what_is_feasible() -> None:
    on = (True, False, True, True, True, False, True, True, True)
    assert probs(0.0, on=on) == pytest.approx(np.array(on) / 7)


def test_proximity_ignores_the_context_and_learns_nothing() -> None:
    assert np.array_equal(probs(), probs(features=(5.0, -3.0, 9.0)))
    seen = (decision(window([True])), choice(0, 0), feedback(1.0))
    assert POLICY.update(proximity.Params(), POLICY.init(proximity.Params()), *seen) == ()
    assert POLICY.belief is None
