"""Softmax of the posterior mean: a smooth policy whose log can be judged.

The inverse temperature `sharpness` trades value against support; a frozen one is the
usual target of off-policy evaluation here.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import LinearParams, linear_model
from policies.softened import SHARPNESS, boltzmann

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """Sharpness of the choice, and the linear belief behind it."""

    sharpness: float = field(default=10.0, metadata=SHARPNESS)


def _probs(params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    return boltzmann(belief.mean, decision.window.feasible, sharpness=params.sharpness)


@cache
def make(spec: Spec) -> Policy:
    """Softmax over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
