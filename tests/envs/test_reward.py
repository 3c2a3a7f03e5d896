"""The reward is linear in the parts of an outcome."""

import numpy as np
import pytest

from envs.reward import RewardWeights, Weights, reward, weights
from envs.world import Outcome


def test_a_reward_is_worth_what_its_weights_say() -> None:
    worth = weights(RewardWeights(quality=2.0, cost=80.0, latency=0.01, tokens=0.5, reservation=0.1, failure=3.0))
    one = Outcome(0.6, 400.0, 2500.0, 0.001, 1.0, 1.0, 0.25)
    # 2 x 0.6 - 80 x 0.001 - 0.01 x 2.5 s - 0.5 x 0.4 thousand tokens - 0.1 x 0.25 - 3 x 1
    assert reward(worth, one) == pytest.approx(1.2 - 0.08 - 0.025 - 0.2 - 0.025 - 3.0, rel=1e-14)


def test_quality_alone_is_the_default() -> None:
    assert reward(weights(RewardWeights()), Outcome(0.6, 400.0, 2500.0, 0.001, 0.0, 1.0, 0.25)) == 0.6


def test_the_reward_of_the_mean_outcome_is_the_mean_reward() -> None:
    rng = np.random.default_rng(0)
    parts = Outcome(*rng.uniform(0.0, 100.0, (7, 500)))
    worth = Weights(*rng.uniform(0.0, 5.0, 6))
    mean = Outcome(*(part.mean() for part in parts))
    assert reward(worth, mean) == pytest.approx(reward(worth, parts).mean(), rel=1e-12)


def test_every_weight_has_a_leaf_of_its_name() -> None:
    names = tuple(RewardWeights.__dataclass_fields__)
    assert names == Weights._fields
    assert weights(RewardWeights(**{name: float(i) for i, name in enumerate(names)})) == tuple(map(float, range(6)))
