"""GP-UCB: the schedule of its width, and what it finds."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.learners.gp_ucb import Params, make, ready
from tests.hand import SHARED, choice, decision, feedback, generator, window

HELD = window([True, True, True, False])


@pytest.mark.parametrize("t", [0, 9, 199])
@pytest.mark.parametrize("delta", [0.05, 0.5])
def test_the_width_is_that_of_the_theorem(t: int, delta: float) -> None:
    """Beta = 2 log(3 (t + 1)^2 pi^2 / (6 delta)), 3 actions feasible: the second wins once its lead in width pays."""
    beta = 2 * np.log(3 * (t + 1) ** 2 * np.pi**2 / (6 * delta))
    own, here = ready(Params(delta=delta, scale=0.5), SHARED), decision(HELD)._replace(t=np.int32(t))
    for lead, chosen in ((0.999, 0), (1.001, 1)):
        sd = np.array([0.1, 0.1 + lead * 0.2 / (0.5 * np.sqrt(beta)), 0.1, 9.0])
        belief = Belief(np.array([0.6, 0.4, 0.0, 0.9]), sd, np.zeros((4, 2)))
        assert make(SHARED).probs(own, None, here, belief).argmax() == chosen


def test_no_scale_is_greedy() -> None:
    belief = Belief(np.array([0.2, 0.6, 0.5, 0.9]), np.array([0.1, 0.1, 5.0, 9.0]), np.zeros((4, 2)))
    probs = make(SHARED).probs(ready(Params(scale=0.0), SHARED), None, decision(HELD), belief)
    assert probs.tolist() == [0, 1, 0, 0]


@pytest.mark.slow
def test_regret_grows_ever_more_slowly_on_its_home_ground() -> None:
    """20 worlds drawn from its own prior: rounds 101 to 200 cost less than rounds 1 to 100.

    Linear regret would cost the same; 3 standard errors of the mean difference over worlds, as measured.
    """
    policy, rng = make(SHARED), generator(3)
    own = ready(Params(prior_sd=0.3), SHARED)
    assert policy.belief is not None
    held, halves = window([True] * 20), []
    ids = np.arange(20, dtype=np.int32)
    for _ in range(20):
        state, lost = policy.init(own), np.zeros(200)
        truth = policy.belief(
            own, state._replace(theta=state.root @ rng.standard_normal(len(state.theta))), asked_in(decision(held)), ids
        ).mean
        for t in range(200):
            here = decision(held)._replace(t=np.int32(t))
            probs = policy.probs(own, state, here, policy.belief(own, state, asked_in(here), ids))
            slot = int(probs.argmax())
            lost[t] = truth.max() - truth[slot]
            reward = feedback(truth[slot] + 0.25 * rng.standard_normal())
            state = policy.update(own, state, here, choice(slot, slot), reward)
        halves.append((lost[:100].sum(), lost[100:].sum()))
    first, second = np.array(halves).T
    error = np.std(second - first, ddof=1) / np.sqrt(len(first))
    assert (second - first).mean() + 3 * error < 0
