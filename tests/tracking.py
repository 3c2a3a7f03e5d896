"""A linear world that changes at once, half way: who notices?

Rewards are linear in the shared features, with Gaussian noise; at round 150 of 300 every coefficient is drawn
anew. All 20 actions may be played. Seeds are paired: learners meet the same worlds, contexts and noise.
"""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from policies.decide import asked_in
from policies.features import n_features, phi
from tests.hand import SHARED, choice, decision, feedback, generator, window

CHANGE, ROUNDS, SEEDS = 150, 300, 12
IDS = np.arange(20, dtype=np.int32)


@cache
def regret_after_change(learner: ModuleType, params: Any, seed: int) -> float:
    """Expected regret, summed over the rounds from the change on."""
    rng, policy, held = generator(seed), learner.make(SHARED), window([True] * 20)
    state, lost = policy.init(params), 0.0
    theta = rng.standard_normal((2, n_features(SHARED))) * 0.3
    for t in range(ROUNDS):
        here = decision(held, features=rng.standard_normal(3), task=int(rng.integers(2)))
        noise, uniform = 0.25 * rng.standard_normal(), rng.random()
        mean = 0.2 + phi(SHARED, here.features, here.task, IDS) @ theta[int(t >= CHANGE)]
        probs = policy.probs(params, state, here, policy.belief(params, state, asked_in(here), IDS))
        lost += float(t >= CHANGE) * float(mean.max() - probs @ mean)
        slot = min(int((probs.cumsum() <= uniform).sum()), 19)
        state = policy.update(params, state, here, choice(slot, slot), feedback(mean[slot] + noise))
    return lost


def z_of_gain(learner: tuple[ModuleType, Any], stationary: tuple[ModuleType, Any]) -> float:
    """Mean over seeds of what the stationary learner loses more, in standard errors of that mean."""
    gains = [regret_after_change(*stationary, seed) - regret_after_change(*learner, seed) for seed in range(SEEDS)]
    return float(np.mean(gains) / (np.std(gains, ddof=1) / np.sqrt(SEEDS)))
