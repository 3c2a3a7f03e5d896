"""IPW-weighted policy learning: two plays by hand, and what the running mean is for."""

from dataclasses import replace

import numpy as np
import pytest

from policies.features import phi
from policies.learners import off_policy_ipw
from policies.masses import TOTAL
from tests.hand import SHARED, choice, decision, feedback, generator, window

POLICY = off_policy_ipw.make(SHARED)
PARAMS = off_policy_ipw.Params(sharpness=0.0, ridge=1.0, neutral=0.2, cap=100.0)  # a uniform prior
FOUR = decision(window([True] * 4 + [False] * 5), features=(1.0, -1.0, 0.5))
AT = np.asarray(phi(SHARED, FOUR.features, FOUR.task, FOUR.window.action_ids))
GAP = AT - AT[:4].mean(axis=0)


def test_two_plays_by_hand() -> None:
    """Reward 1 on slot 0 at probability 1/2: weight (1/4) / (1/2), error 1 - 0.2, so 0.4 of its gap.

    The mean is then 0.2 + (1 - 0.2) / 2 = 0.6: one row against a ridge of 1. Reward 0.1 on slot 3 at
    probability 1/8 weighs 2, errs by -0.5, and adds -1 of its gap.
    """
    first = POLICY.update(PARAMS, POLICY.init(PARAMS), FOUR, choice(0, 0, mass=TOTAL // 2), feedback(1.0))
    assert first.moment == pytest.approx(0.4 * GAP[0], abs=1e-15)
    assert 0.2 + first.theta == pytest.approx([0.6], abs=1e-15)
    second = POLICY.update(PARAMS, first, FOUR, choice(3, 3, mass=TOTAL // 8), feedback(0.1))
    assert second.moment == pytest.approx(0.4 * GAP[0] - GAP[3], abs=1e-15)
    gram = np.eye(AT.shape[1]) + 2 * GAP[:4].T @ GAP[:4] / 4
    assert second.weights == pytest.approx(np.linalg.solve(gram, second.moment), abs=1e-12)


def test_a_play_that_pays_more_than_the_mean_is_played_more() -> None:
    state = POLICY.update(PARAMS, POLICY.init(PARAMS), FOUR, choice(2, 2, mass=TOTAL // 4), feedback(0.9))
    worse = POLICY.update(PARAMS, POLICY.init(PARAMS), FOUR, choice(2, 2, mass=TOTAL // 4), feedback(0.0))
    chances = [float(POLICY.probs(PARAMS, s, FOUR, None)[2]) for s in (state, worse)]
    assert chances[0] > 0.25 > chances[1]


def spread(neutral: float, ridge: float) -> float:
    """Summed variance of the moment over 100 logs of 40 uniform plays whose rewards are 1 plus a little noise."""
    params = replace(PARAMS, neutral=neutral, ridge=ridge)
    moments = []
    for seed in range(100):
        rng, state = generator(seed), POLICY.init(params)
        for _ in range(40):
            slot = int(rng.integers(4))
            state = POLICY.update(
                params, state, FOUR, choice(slot, slot, mass=TOTAL // 4), feedback(1 + 0.1 * rng.normal())
            )
        moments.append(state.moment)
    return float(np.var(moments, axis=0).sum())


def test_the_running_mean_takes_out_a_constants_variance() -> None:
    """A ridge of 1e6 rows keeps the mean at its neutral 0: plain IPW, whose 40 rows each add 1 + 0.01.

    The running mean leaves 1 / (t + 1) of row t's error, in all sum 1 / (t + 1)^2 = 1.6 beside 40 * 0.01:
    the variances are as 40.4 to 2.0, or 20 to 1; 100 logs know a variance to 14 %, and half of 20 is asked.
    """
    assert spread(0.0, 1e6) > 10 * spread(0.0, 1.0)
