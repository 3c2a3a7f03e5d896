"""Discounted LinUCB: an upper bound over a belief in which rows fade."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.learners import discounted, linucb
from tests.hand import SHARED, choice, decision, feedback, window
from tests.tracking import z_of_gain

HELD = window([True, True, True, False])


@pytest.mark.parametrize(("alpha", "chosen"), [(0.0, 1), (0.999, 1), (1.001, 2)])
def test_the_width_is_alpha_standard_deviations_by_hand(alpha: float, chosen: int) -> None:
    """0.6 + 0.1 alpha against 0.5 + 0.2 alpha: equal at alpha = 1."""
    belief = Belief(np.array([0.2, 0.6, 0.5, 0.9]), np.array([0.1, 0.1, 0.2, 9.0]), np.zeros((4, 2)))
    probs = discounted.make(SHARED).probs(discounted.Params(alpha=alpha), None, decision(HELD), belief)
    assert probs.tolist() == np.eye(4)[chosen].tolist()


def test_what_was_not_tried_lately_becomes_uncertain_again() -> None:
    """The same task type and action for 50 rounds, then the other task type for 300: the first widens again."""
    params, policy = discounted.Params(discount=0.95), discounted.make(SHARED)
    assert policy.belief is not None
    state, here, elsewhere = policy.init(params), decision(HELD, task=0), decision(HELD, task=1)
    widths = []
    for row, n in ((here, 50), (elsewhere, 300)):
        for _ in range(n):
            state = policy.update(params, state, row, choice(1, 1), feedback(0.5))
        widths.append(policy.belief(params, state, asked_in(here), HELD.action_ids).sd[1])
    assert widths[1] > 2 * widths[0]


@pytest.mark.slow
def test_after_an_abrupt_change_it_loses_less_than_linucb() -> None:
    """12 paired worlds, defaults of both; z > 3.29 is a false alarm in 2,000 if nothing is gained."""
    assert z_of_gain((discounted, discounted.Params()), (linucb, linucb.Params())) > 3.29
