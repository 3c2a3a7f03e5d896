"""GP-UCB: the highest upper confidence bound of a Gaussian process over the lattice.

The width at evaluation t (from 1) is scale sqrt(2 log(k t^2 pi^2 / (6 delta))) posterior standard deviations, k
the feasible actions of the window: the schedule under which regret is sublinear with probability 1 - delta.
Deterministic given its posterior, so it must be floored before its log can be judged.
Source: Srinivas, Krause, Kakade & Seeger (2010), theorem 1 and section 6; the process is that of `policies.gp`.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy, Spec
from policies.gp import GpNumbers, GpParams, gp_model, numbers
from policies.masses import pick

__all__ = ["Params", "make", "ready"]


@dataclass(frozen=True)
class Params(GpParams):
    """The width's schedule, and the process behind it."""

    delta: float = field(default=0.1, metadata={"gt": 0.0, "lt": 1.0, "unit": "probability that the bound fails"})
    scale: float = field(default=0.447, metadata={"ge": 0.0, "le": 100.0, "unit": "share of the theorem's width"})


def ready(params: Params, spec: Spec) -> GpNumbers:
    """The parameters on a lattice, and (scale, log(pi^2 / (6 delta))) of the width."""
    return numbers(params, spec, width=(params.scale, math.log(math.pi**2 / (6.0 * params.delta))))


def _probs(own: GpNumbers, _state: Any, decision: Decision, belief: Belief) -> Array:
    xp, window = namespace(belief.mean), decision.window
    n_able = xp.sum(xp.astype(window.feasible, belief.mean.dtype))
    t = xp.astype(decision.t, belief.mean.dtype) + 1.0
    width = own.width[0] * xp.sqrt(2.0 * (xp.log(n_able) + 2.0 * xp.log(t) + own.width[1]))
    bound = belief.mean + width * belief.sd
    return pick(bound, window.feasible, incumbent=window.incumbent, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """GP-UCB over the processes of a lattice."""
    model = gp_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
