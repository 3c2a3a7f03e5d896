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
from policies.linear import linear_model
from policies.masses import pick

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """Width of the bound, and the linear belief behind it."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    alpha: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})
    prior_mean: float = field(default=0.2, metadata={"ge": -100.0, "le": 100.0, "unit": "reward"})
    prior_sd: float = field(default=0.3, metadata={"gt": 0.0, "le": 100.0, "unit": "reward"})
    noise_sd: float = field(default=0.25, metadata={"gt": 0.0, "le": 100.0, "unit": "reward"})
    features: str = field(default="shared", metadata={"choices": ("shared", "disjoint"), "static": True})
    n_draws: int = field(default=64, metadata={"ge": 2, "le": 4096, "static": True})


def _probs(params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    bound = belief.mean + params.alpha * belief.sd
    window = decision.window
    return pick(bound, window.feasible, incumbent=window.incumbent, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(init=model.init, window=None, belief=model.belief, probs=_probs, update=model.update)
