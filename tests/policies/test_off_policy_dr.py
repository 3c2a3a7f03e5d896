"""DR-weighted policy learning: two plays by hand, and less variance than IPW where its regression holds."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from policies.features import n_features, phi
from policies.learners import off_policy_dr, off_policy_ipw
from policies.masses import TOTAL
from tests.hand import SHARED, choice, decision, feedback, generator, window

POLICY = off_policy_dr.make(SHARED)
PARAMS = off_policy_dr.Params(sharpness=0.0, ridge=1.0, neutral=0.2, cap=100.0)  # a uniform prior
FOUR = decision(window([True] * 4 + [False] * 5), features=(1.0, -1.0, 0.5))
AT = np.asarray(phi(SHARED, FOUR.features, FOUR.task, FOUR.window.action_ids))
GAP = AT - AT[:4].mean(axis=0)
N_LOGS, N_ROWS = 30, 60


def test_two_plays_by_hand() -> None:
    """The first play is IPW's: nothing is predicted yet. It leaves theta = phi / (1 + phi.phi) * 0.8.

    The second adds the prior's covariance with that prediction, and weight (1/4) / (1/8) of its error.
    """
    first = POLICY.update(PARAMS, POLICY.init(PARAMS), FOUR, choice(0, 0, mass=TOTAL // 2), feedback(1.0))
    assert first.moment == pytest.approx(0.4 * GAP[0], abs=1e-15)
    theta = AT[0] / (1 + AT[0] @ AT[0]) * 0.8
    assert first.theta == pytest.approx(theta, abs=1e-15)
    second = POLICY.update(PARAMS, first, FOUR, choice(3, 3, mass=TOTAL // 8), feedback(0.1))
    q = 0.2 + AT @ theta
    added = GAP[:4].T @ (q[:4] / 4) + 2 * (0.1 - q[3]) * GAP[3]
    assert second.moment == pytest.approx(0.4 * GAP[0] + added, abs=1e-12)


@cache
def fitted(name: str) -> np.ndarray:
    """(N_LOGS, p) moments of logs whose rewards are linear in phi; the logger likes the first slots."""
    learner: Any = {"dr": off_policy_dr, "ipw": off_policy_ipw}[name]
    policy, params = learner.make(SHARED), learner.Params(cap=1e6)
    theta = generator(99).normal(0, 0.3, n_features(SHARED))
    masses = np.array([4, 4, 2, 1, 1, 1, 1, 1, 1]) * (TOTAL // 16)
    found = []
    for seed in range(N_LOGS):
        rng, state = generator(seed), policy.init(params)
        for _ in range(N_ROWS):
            here = decision(window([True] * 9), features=rng.normal(size=3), task=int(rng.integers(2)))
            slot = int(rng.choice(9, p=masses / TOTAL))
            reward = phi(SHARED, here.features, here.task, here.window.action_ids)[slot] @ theta + 0.1 * rng.normal()
            state = policy.update(params, state, here, choice(slot, slot, mass=int(masses[slot])), feedback(reward))
        found.append(state.moment)
    return np.array(found)


def test_where_the_regression_holds_dr_varies_less_than_ipw_and_means_the_same() -> None:
    """Both are unbiased for one moment up to what the contexts add, which is alike in both.

    Differences log by log of the p entries, each within 4 standard errors; false alarm p * 6e-5 = 1e-3.
    """
    dr, ipw = fitted("dr"), fitted("ipw")
    gap = dr - ipw
    error = gap.std(axis=0, ddof=1) / np.sqrt(N_LOGS)
    seen = error > 1e-12
    assert seen.sum() > 5
    assert np.abs(gap.mean(axis=0)[seen] / error[seen]).max() < 4
    assert dr.var(axis=0).sum() < 0.6 * ipw.var(axis=0).sum()
