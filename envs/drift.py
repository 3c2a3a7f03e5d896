"""Drift of a world: one step at a chosen evaluation, as plain numbers.

An evaluation counts once for every task type: with two task types, evaluation 100 begins
after 200 rounds.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace

__all__ = ["Drift", "Params", "drift", "has_begun"]

NEVER = 2**31 - 1


@dataclass(frozen=True)
class Params:
    """A step: nothing before `onset`, everything from then on."""

    onset: int = field(default=NEVER, metadata={"ge": 0, "le": NEVER, "unit": "evaluations"})
    quality_factor: float = field(default=1.0, metadata={"ge": 0.0, "le": 2.0})
    cliff_shift: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0, "unit": "temperature"})
    length_shift: float = field(default=0.0, metadata={"ge": -3.0, "le": 3.0, "unit": "log tokens"})
    latency_factor: float = field(default=1.0, metadata={"gt": 0.0, "le": 100.0})


class Drift(NamedTuple):
    """`Params` as leaves of a world's parameters."""

    onset: Array
    quality_factor: Array
    cliff_shift: Array
    length_shift: Array
    latency_factor: Array


def drift(config: Params) -> Drift:
    """The leaves of a config."""
    sizes = (config.quality_factor, config.cliff_shift, config.length_shift, config.latency_factor)
    return Drift(np.int32(config.onset), *sizes)


def has_begun(step: Drift, evaluation: Array) -> Array:
    """1.0 from the onset on, else 0.0, as a float to multiply with.

    >>> import numpy as np
    >>> has_begun(drift(Params(onset=3)), np.arange(5)).tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0]
    """
    xp = namespace(evaluation)
    return xp.where(evaluation >= step.onset, 1.0, 0.0)
