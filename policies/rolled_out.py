"""A traffic split: a share of requests follows the policy, the rest the incumbent."""

from functools import cache
from typing import Any, NamedTuple

from envs.arrays import Array, namespace
from policies.base import Belief, Choice, Decision, Feedback, Policy, Question, Window

__all__ = ["RolledOutParams", "rolled_out"]


class RolledOutParams(NamedTuple):
    """The wrapped policy's parameters and the share of traffic it gets, 0..1."""

    inner: Any
    share: Array


@cache
def rolled_out(inner: Policy) -> Policy:
    """`share` of the policy's vector plus 1 - share on the incumbent: one vector, one propensity."""

    def init(params: RolledOutParams) -> Any:
        return inner.init(params.inner)

    def window(params: RolledOutParams, state: Any, task: Array) -> Window:
        assert inner.window is not None
        return inner.window(params.inner, state, task)

    def belief(params: RolledOutParams, state: Any, question: Question, action_ids: Array) -> Belief:
        assert inner.belief is not None
        return inner.belief(params.inner, state, question, action_ids)

    def probs(params: RolledOutParams, state: Any, decision: Decision, held: Belief | None) -> Array:
        p = inner.probs(params.inner, state, decision, held)
        xp = namespace(p)
        slots = xp.cumulative_sum(xp.ones_like(p)) - 1.0
        stay = xp.astype(slots == xp.astype(decision.window.incumbent, p.dtype), p.dtype)
        return params.share * p + (1.0 - params.share) * stay

    def update(params: RolledOutParams, state: Any, decision: Decision, choice: Choice, feedback: Feedback) -> Any:
        return inner.update(params.inner, state, decision, choice, feedback)

    def outlook(params: RolledOutParams, state: Any, question: Question) -> Array:
        assert inner.outlook is not None
        return inner.outlook(params.inner, state, question)

    return Policy(
        init=init,
        window=None if inner.window is None else window,
        belief=None if inner.belief is None else belief,
        probs=probs,
        update=update,
        outlook=None if inner.outlook is None else outlook,
    )
