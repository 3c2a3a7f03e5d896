"""Sliding-window LinUCB: the highest upper confidence bound given the last rows alone.

After an abrupt change nothing of the past is left once `memory` evaluations have passed. Deterministic
given its posterior, so it must be floored before its log can be judged.
Source: Cheung, Simchi-Levi & Zhu (2019), SW-UCB, algorithm 1.
"""

from dataclasses import dataclass, field
from functools import cache

from policies.base import Policy, Spec
from policies.forgetting import SlidingParams, sliding_model
from policies.learners.linucb import highest_bound

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(SlidingParams):
    """Width of the bound, and the forgetting belief behind it."""

    alpha: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the belief of the last rows."""
    model = sliding_model(spec)
    return Policy(model.init, None, model.belief, highest_bound, model.update, model.outlook)
