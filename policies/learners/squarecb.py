"""SquareCB: the further an action's predicted reward lies behind the best, the rarer it is played.

Inverse-gap weighting over an online regression: here the posterior mean of the linear belief. The
vector is exact, never zero on a feasible action, and sharpens as gamma_t = sharpness * (t + 1)^power.
Source: Foster & Rakhlin (2020), algorithm 1; the growing gamma of an unknown horizon as in
Simchi-Levi & Xu (2022), equation 2.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy, Spec
from policies.linear import LinearParams, linear_model
from policies.masses import pick

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """How gamma grows with the evaluations of a task type, and the linear belief that predicts."""

    sharpness: float = field(default=100.0, metadata={"ge": 0.0, "le": 1e6, "unit": "gamma at t = 0, 1 / reward range"})
    power: float = field(default=0.5, metadata={"ge": 0.0, "le": 2.0, "unit": "of t + 1 in gamma"})


def _probs(params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    xp, window = namespace(belief.mean), decision.window
    best = pick(belief.mean, window.feasible, incumbent=window.incumbent, span=decision.span)
    gap = (xp.sum(best * belief.mean) - belief.mean) / decision.span
    gap = xp.where(gap > 0.0, gap, xp.zeros_like(gap))
    k = xp.sum(xp.astype(window.feasible, belief.mean.dtype))
    t = xp.astype(decision.t, belief.mean.dtype)
    gamma = params.sharpness * xp.exp(params.power * xp.log(t + 1.0))
    others = xp.where(window.feasible & (best < 0.5), 1.0 / (k + gamma * gap), xp.zeros_like(gap))
    return others + best * (1.0 - xp.sum(others))


@cache
def make(spec: Spec) -> Policy:
    """Inverse-gap weighting over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
