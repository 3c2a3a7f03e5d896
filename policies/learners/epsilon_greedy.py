"""Epsilon-greedy: the best posterior mean, and a share of uniform exploration.

The share is the policy's `floor`, as everywhere, so nothing is explored twice.
Source: Sutton & Barto (2018), section 2.2.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import LinearParams, linear_model
from policies.masses import pick

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """Epsilon is `floor`; the rest is the linear belief."""

    floor: float = field(default=0.1, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})


def _probs(_params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    window = decision.window
    return pick(belief.mean, window.feasible, incumbent=window.incumbent, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """Greedy over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(init=model.init, window=None, belief=model.belief, probs=_probs, update=model.update)
