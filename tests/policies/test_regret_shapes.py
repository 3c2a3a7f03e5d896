"""Regret on the linear learners' home ground: sublinear where a textbook says so, linear where nothing is learned.

The world is the belief's own: coefficients from the prior, Gaussian noise of the declared size, fresh
contexts, all 20 actions open, no floor. Written in NumPy here, so that nothing of the simulation is trusted.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from policies.base import Policy, Spec
from policies.decide import asked_in
from policies.features import n_features, phi
from policies.learners import conservative, epsilon_greedy, hybrid_linucb, linucb, squarecb, thompson, uniform
from policies.masses import TOTAL, draw_slot, integer_masses
from tests.hand import SHARED, choice, decision, feedback, generator, window

N, SEEDS = 1024, 6
HOME = SHARED._replace(n_draws=64)
WINDOW = window([True] * 20, incumbent=9)
NUMBERS = {"floor": 0.0, "prior_mean": 0.5, "prior_sd": 0.2, "noise_sd": 0.1}
LEARNERS: dict[str, tuple[Callable[[Spec], Policy], Any]] = {
    "linucb": (linucb.make, linucb.Params(alpha=1.0)),
    "thompson": (thompson.make, thompson.Params()),
    "hybrid_linucb": (hybrid_linucb.make, hybrid_linucb.Params(offset_sd=0.02)),
    "squarecb": (squarecb.make, squarecb.Params(sharpness=100.0, power=0.5)),
    "epsilon_decay": (epsilon_greedy.make, epsilon_greedy.Params(epsilon=0.5, halving=20.0)),
    "conservative": (conservative.make, conservative.Params(allowance=0.1)),
}


def losses(make: Callable[[Spec], Policy], params: Any, seed: int) -> np.ndarray:
    """(N,) expected loss of every decision against the best action in its context, exact for the vector played."""
    policy, rng = make(HOME), generator(seed)
    theta, state, lost = rng.normal(0, 0.2, n_features(HOME)), policy.init(params), []
    for t in range(N):
        here = decision(WINDOW, features=rng.standard_normal(3) * 0.5)._replace(t=np.int32(t))
        truth = 0.5 + phi(HOME, here.features, here.task, WINDOW.action_ids) @ theta
        held = None if policy.belief is None else policy.belief(params, state, asked_in(here), WINDOW.action_ids)
        masses = integer_masses(policy.probs(params, state, here, held), WINDOW.feasible)
        lost.append(truth.max() - masses @ truth / TOTAL)
        slot = int(draw_slot(masses, np.int32(rng.integers(TOTAL))))
        reward = feedback(truth[slot] + 0.1 * rng.standard_normal())
        state = policy.update(params, state, here, choice(slot, slot, mass=int(masses[slot])), reward)
    return np.array(lost)


@cache
def slopes(name: str) -> np.ndarray:
    """(SEEDS,) slope of log cumulative regret on log t, from t = 32 on, evenly in log t."""
    make, params = LEARNERS[name] if name in LEARNERS else (uniform.make, uniform.Params())
    params = replace(params, **NUMBERS) if name in LEARNERS else params
    at = np.unique(np.geomspace(32, N, 24).astype(int))
    curves = [np.cumsum(losses(make, params, seed))[at - 1] for seed in range(SEEDS)]
    return np.array([np.polyfit(np.log(at), np.log(curve), 1)[0] for curve in curves])


def upper(values: np.ndarray) -> float:
    """Mean plus three standard errors."""
    return float(values.mean() + 3 * values.std(ddof=1) / np.sqrt(values.size))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_regret_on_home_ground_is_sublinear(name: str) -> None:
    """Theory has sqrt(t) at worst, slope 0.5; 0.75 leaves room for a short run, and three standard errors."""
    assert upper(slopes(name)) < 0.75


@pytest.mark.slow
def test_what_learns_nothing_has_linear_regret() -> None:
    """The control: each decision of the uniform policy costs the same in expectation, so its slope is 1."""
    found = slopes("uniform")
    assert abs(found.mean() - 1.0) < max(3 * found.std(ddof=1) / np.sqrt(SEEDS), 0.02)
