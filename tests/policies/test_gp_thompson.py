"""Thompson sampling from a process: the share of draws an action wins."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.gp import numbers
from policies.learners.gp_thompson import Params, make, ready
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, window


def test_the_vector_is_the_share_of_draws_won_by_hand() -> None:
    """Four draws: slot 0 wins two, slot 1 one, one is a tie of both; slot 2 may not be played."""
    draws = np.array([[1.0, 0.9, 0.0, 0.5], [0.0, 0.1, 0.3, 0.5], [9.0, 9.0, 9.0, 9.0]])
    belief = Belief(draws.mean(axis=1), draws.std(axis=1), draws)
    here = decision(window([True, True, False]))
    probs = make(SHARED).probs(ready(Params(), SHARED), None, here, belief)
    assert probs == pytest.approx([2.5 / 4, 1.5 / 4, 0])


def test_its_numbers_are_those_of_the_process() -> None:
    assert leaves(ready(Params(), SHARED)) == leaves(numbers(Params(), SHARED))
    assert ready(Params(floor=0.3), SHARED).floor == 0.3


def test_it_finds_the_peak_of_a_curve_it_has_no_formula_for() -> None:
    """A narrow hill over 20 actions, noise 0.1, 200 rounds: most of the mass ends on the best action."""
    policy, own, rng = make(SHARED), ready(Params(noise_sd=0.1), SHARED), generator(0)
    assert policy.belief is not None
    held, state = window([True] * 20), policy.init(own)
    at = np.indices((5, 4)).reshape(2, -1)
    hill = 0.2 + 0.6 * np.exp(-((at[0] - 3) ** 2) - (at[1] - 1) ** 2)
    for _ in range(200):
        here = decision(held)
        probs = policy.probs(own, state, here, policy.belief(own, state, asked_in(here), held.action_ids))
        slot = int(rng.choice(20, p=probs))
        state = policy.update(own, state, here, choice(slot, slot), feedback(hill[slot] + 0.1 * rng.standard_normal()))
    assert probs.argmax() == 13 and probs[13] > 0.9
