"""Thompson sampling with unknown noise: the vector against draws of another kind."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.features import phi
from policies.learners.thompson_nig import Params, make
from tests.hand import SHARED, choice, decision, feedback, generator, window


def test_the_vector_is_the_share_of_draws_won_by_hand() -> None:
    """Four draws: slot 0 wins two, slot 1 one, one is a tie of both; slot 2 may not be played."""
    draws = np.array([[1.0, 0.9, 0.0, 0.5], [0.0, 0.1, 0.3, 0.5], [9.0, 9.0, 9.0, 9.0]])
    belief = Belief(draws.mean(axis=1), draws.std(axis=1), draws)
    probs = make(SHARED).probs(Params(), None, decision(window([True, True, False])), belief)
    assert probs == pytest.approx([2.5 / 4, 1.5 / 4, 0])


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [3, 40])
def test_the_vector_comes_close_to_a_million_independent_draws(n_rows: int) -> None:
    """Theta from its inverse-gamma mixture, 10^6 times, against 4,096 fixed draws.

    2,048 opposite pairs miss a share p by at most sqrt(p (1 - p) / 2048) on average; the total variation is
    half the sum over 9 actions, and doubled for chance. The million adds less than 0.002.
    """
    spec, params, rng = SHARED._replace(n_draws=4096), Params(), generator(5)
    policy, held = make(spec), window([True] * 9)
    state = policy.init(params)
    for _ in range(n_rows):
        here = decision(held, features=rng.standard_normal(3), task=int(rng.integers(2)))
        action = int(rng.integers(9))
        state = policy.update(params, state, here, choice(action, action), feedback(float(rng.random())))
    here = decision(held, features=rng.standard_normal(3))
    assert policy.belief is not None
    belief = policy.belief(params, state, asked_in(here), held.action_ids)
    at = phi(spec, here.features, here.task, held.action_ids)
    won = np.zeros(9)
    for _ in range(10):
        sd = np.sqrt(state.rate / rng.gamma(state.shape, size=100_000))
        drawn = (at @ state.theta)[:, None] + (at @ state.root) @ rng.standard_normal((at.shape[1], 100_000)) * sd
        won += np.bincount(drawn.argmax(axis=0), minlength=9)
    truth = won / won.sum()
    probs = policy.probs(params, state, here, belief)
    assert np.abs(probs - truth).sum() / 2 < np.sqrt(truth * (1 - truth) / 2048).sum() + 0.002
