"""From the parts of an outcome to one scalar reward.

Linear in the parts, so the expected reward is the reward of the expected parts, exactly.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from envs.arrays import Array
from envs.world import Outcome

__all__ = ["RewardWeights", "Weights", "reward", "weights"]


@dataclass(frozen=True)
class RewardWeights:
    """What a unit of each part is worth; penalties are given as positive numbers."""

    quality: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "reward per quality"})
    cost: float = field(default=0.0, metadata={"ge": 0.0, "le": 1e6, "unit": "reward per USD"})
    latency: float = field(default=0.0, metadata={"ge": 0.0, "le": 100.0, "unit": "reward per second"})
    tokens: float = field(default=0.0, metadata={"ge": 0.0, "le": 100.0, "unit": "reward per 1,000 output tokens"})
    reservation: float = field(default=0.0, metadata={"ge": 0.0, "le": 100.0, "unit": "reward per 4,096 max_tokens"})
    failure: float = field(default=0.0, metadata={"ge": 0.0, "le": 100.0, "unit": "reward per failed call"})


class Weights(NamedTuple):
    """`RewardWeights` as leaves of a world's parameters."""

    quality: Array
    cost: Array
    latency: Array
    tokens: Array
    reservation: Array
    failure: Array


def weights(config: RewardWeights) -> Weights:
    """The leaves of a config."""
    return Weights(*(float(getattr(config, name)) for name in Weights._fields))


def reward(worth: Weights, outcome: Outcome) -> Array:
    """The scalar reward of outcomes or of their expectations, same shape as their parts.

    >>> one = Outcome(1.0, 500.0, 2000.0, 0.001, 0.0, 0.0, 0.25)
    >>> round(reward(Weights(1.0, 80.0, 0.01, 0.0, 0.05, 0.0), one), 4)
    0.8875
    """
    penalty = worth.cost * outcome.cost_usd + worth.latency * (outcome.latency_ms / 1000.0)
    penalty = penalty + worth.tokens * (outcome.output_tokens / 1000.0)
    penalty = penalty + worth.reservation * outcome.reserved + worth.failure * outcome.failure
    return worth.quality * outcome.quality - penalty
