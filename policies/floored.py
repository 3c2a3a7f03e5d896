"""An exploration floor: every feasible action keeps at least floor / (feasible actions)."""

from functools import cache
from typing import Any

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy

__all__ = ["floored"]


@cache
def floored(inner: Policy) -> Policy:
    """`inner` mixed with the uniform distribution over what is feasible.

    The weight is `params.floor`, part of every learner's parameters.
    """

    def probs(params: Any, state: Any, decision: Decision, belief: Belief | None) -> Array:
        p = inner.probs(params, state, decision, belief)
        xp = namespace(p)
        on = xp.astype(decision.window.feasible, p.dtype)
        return (1.0 - params.floor) * p + params.floor * (on / xp.sum(on))

    return inner._replace(probs=probs)
