"""Epsilon-greedy: the best posterior mean, and a share of uniform exploration that may decay.

The share at evaluation t is the larger of `floor` and epsilon * halving / (halving + t). The floor
is the policy's, mixed in outside as everywhere; here only what decays above it is added, so
nothing is explored twice, and `epsilon` at most `floor` is a constant share.
Source: Sutton & Barto (2018), section 2.2; decay in 1 / t as in Auer, Cesa-Bianchi & Fischer
(2002), figure 3.
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
    """What exploration begins with and ends at; the rest is the linear belief."""

    floor: float = field(default=0.1, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    epsilon: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "share explored at t = 0, if above"})
    halving: float = field(default=20.0, metadata={"gt": 0.0, "le": 1e6, "unit": "evaluations until it is half"})


def _above_floor(params: Params, t: Array) -> Array:
    """() share that makes epsilon_t once the floor is mixed in: (1 - floor)(1 - it) = 1 - epsilon_t."""
    xp = namespace(t)
    now = params.epsilon * (params.halving / (params.halving + t))
    left = 1.0 - params.floor + xp.zeros_like(t)
    extra = (now - params.floor) / xp.where(left > 0.0, left, xp.ones_like(left))
    return xp.where(extra > 0.0, extra, xp.zeros_like(extra))


def _probs(params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    xp, window = namespace(belief.mean), decision.window
    best = pick(belief.mean, window.feasible, incumbent=window.incumbent, span=decision.span)
    on = xp.astype(window.feasible, belief.mean.dtype)
    share = _above_floor(params, xp.astype(decision.t, belief.mean.dtype))
    return (1.0 - share) * best + share * (on / xp.sum(on))


@cache
def make(spec: Spec) -> Policy:
    """Greedy over the belief that `spec.features` names."""
    model = linear_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
