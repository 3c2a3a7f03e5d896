"""Sliding-window LinUCB: an upper bound given the last rows alone."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.learners import linucb, sliding
from tests.hand import SHARED, choice, decision, feedback, window
from tests.tracking import z_of_gain

HELD = window([True, True, True, False])


@pytest.mark.parametrize(("alpha", "chosen"), [(0.0, 1), (0.999, 1), (1.001, 2)])
def test_the_width_is_alpha_standard_deviations_by_hand(alpha: float, chosen: int) -> None:
    """0.6 + 0.1 alpha against 0.5 + 0.2 alpha: equal at alpha = 1."""
    belief = Belief(np.array([0.2, 0.6, 0.5, 0.9]), np.array([0.1, 0.1, 0.2, 9.0]), np.zeros((4, 2)))
    probs = sliding.make(SHARED).probs(sliding.Params(alpha=alpha), None, decision(HELD), belief)
    assert probs.tolist() == np.eye(4)[chosen].tolist()


def test_after_its_memory_nothing_of_the_past_is_left() -> None:
    """9 rewards of 5, then 10 of 0.2 elsewhere: with a memory of 10 the belief is that of the last ten alone."""
    params, policy = sliding.Params(memory=10), sliding.make(SHARED)
    assert policy.belief is not None
    state, other = policy.init(params), policy.init(params)
    here = decision(HELD, features=[1, 0, 2])
    for _ in range(9):
        state = policy.update(params, state, here, choice(1, 1), feedback(5.0))
    for _ in range(10):
        state, other = (policy.update(params, s, here, choice(2, 2), feedback(0.2)) for s in (state, other))
    one, two = (policy.belief(params, s, asked_in(here), HELD.action_ids) for s in (state, other))
    assert one.mean == pytest.approx(two.mean, abs=1e-9) and one.sd == pytest.approx(two.sd, abs=1e-9)


@pytest.mark.slow
def test_after_an_abrupt_change_it_loses_less_than_linucb() -> None:
    """12 paired worlds, defaults of both; z > 3.29 is a false alarm in 2,000 if nothing is gained."""
    assert z_of_gain((sliding, sliding.Params()), (linucb, linucb.Params())) > 3.29
