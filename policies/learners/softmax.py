"""Softmax of the posterior mean: a smooth policy whose log can be judged.

The inverse temperature `sharpness` trades value against support; a frozen one is the
usual target of off-policy evaluation here.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import LinearParams, linear_model

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """Sharpness of the choice, and the linear belief behind it."""

    sharpness: float = field(default=10.0, metadata={"ge": 0.0, "le": 1e6, "unit": "1 / reward"})


def _probs(params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    xp = namespace(belief.mean)
    feasible = decision.window.feasible
    low = xp.min(belief.mean) - 1.0
    best = xp.max(xp.where(feasible, belief.mean, low))
    gap = xp.where(feasible, belief.mean - best, xp.zeros_like(belief.mean))  # an infeasible better one would overflow
    weight = xp.where(feasible, xp.exp(params.sharpness * gap), xp.zeros_like(gap))
    return weight / xp.sum(weight)


@cache
def make(spec: Spec) -> Policy:
    """Softmax over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(init=model.init, window=None, belief=model.belief, probs=_probs, update=model.update)
