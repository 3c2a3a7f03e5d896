"""Discounted Thompson sampling: the share of draws from a belief in which rows fade."""

import numpy as np
import pytest

from policies.base import Belief
from policies.learners import discounted_thompson, thompson
from tests.hand import SHARED, decision, window
from tests.tracking import z_of_gain


def test_the_vector_is_the_share_of_draws_won_by_hand() -> None:
    """Four draws: slot 0 wins two, slot 1 one, one is a tie of both; slot 2 may not be played."""
    draws = np.array([[1.0, 0.9, 0.0, 0.5], [0.0, 0.1, 0.3, 0.5], [9.0, 9.0, 9.0, 9.0]])
    belief = Belief(draws.mean(axis=1), draws.std(axis=1), draws)
    policy, here = discounted_thompson.make(SHARED), decision(window([True, True, False]))
    assert policy.probs(discounted_thompson.Params(), None, here, belief) == pytest.approx([2.5 / 4, 1.5 / 4, 0])


@pytest.mark.slow
def test_after_an_abrupt_change_it_loses_less_than_thompson() -> None:
    """12 paired worlds, defaults of both; z > 3.29 is a false alarm in 2,000 if nothing is gained."""
    gain = z_of_gain((discounted_thompson, discounted_thompson.Params()), (thompson, thompson.Params()))
    assert gain > 3.29
