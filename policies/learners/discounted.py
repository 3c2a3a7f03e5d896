"""Discounted LinUCB: the highest upper confidence bound when old rows fade.

For rewards that drift: after a change the past weighs less with every evaluation, and widths of what has
not been tried lately grow again. Deterministic given its posterior, so it must be floored before its log can be judged.
Source: Russac, Vernade & Cappe (2019), algorithm 1, with the one matrix of `forgetting.discounted_model`.
"""

from dataclasses import dataclass, field
from functools import cache

from policies.base import Policy, Spec
from policies.forgetting import DiscountParams, discounted_model
from policies.learners.linucb import highest_bound

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(DiscountParams):
    """Width of the bound, and the forgetting belief behind it."""

    alpha: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the discounted belief."""
    model = discounted_model(spec)
    return Policy(model.init, None, model.belief, highest_bound, model.update, model.outlook)
