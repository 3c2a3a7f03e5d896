"""Discounted LinUCB: the highest upper confidence bound when old rows fade.

For rewards that drift: after a change the past weighs less with every evaluation, and widths of what has
not been tried lately grow again. Deterministic given its posterior, so it must be floored before its log can be judged.
Source: Russac, Vernade & Cappe (2019), algorithm 1, with the one matrix of `forgetting.discounted_model`.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.forgetting import DiscountParams, discounted_model
from policies.masses import pick

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(DiscountParams):
    """Width of the bound, and the forgetting belief behind it."""

    alpha: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})


def _probs(params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    bound, window = belief.mean + params.alpha * belief.sd, decision.window
    return pick(bound, window.feasible, incumbent=window.incumbent, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the discounted belief."""
    model = discounted_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
