"""LinUCB: the action with the highest upper confidence bound on a linear belief.

Deterministic given its posterior, so it must be floored before its log can be judged.
Source: Li, Chu, Langford & Schapire (2010), algorithm 1; the width here is `alpha`
posterior standard deviations, which contains their alpha sqrt(x' A^-1 x).
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import LinearParams, linear_model
from policies.masses import pick

__all__ = ["Params", "highest_bound", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """Width of the bound, and the linear belief behind it."""

    alpha: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})


def highest_bound(params: Any, _state: Any, decision: Decision, belief: Belief) -> Array:
    """(k,) all mass on the highest bound of any belief, `params.alpha` standard deviations wide; ties as everywhere."""
    bound = belief.mean + params.alpha * belief.sd
    window = decision.window
    return pick(bound, window.feasible, incumbent=window.incumbent, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(model.init, None, model.belief, highest_bound, model.update, model.outlook)
