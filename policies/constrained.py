"""A learner inside its bounds: hard limits, trust region, and the approvals that move it.

The learner never knows. The wrapper keeps the approved action of every task type, hands
the learner the window around it, and after each update asks the approval rule whether
the approved action may move; the move takes effect at the next decision.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.approval import TALLY_COLUMNS, Rule, improve, is_better, tallied, two_sample
from policies.approval import Params as ApprovalParams
from policies.base import Belief, Choice, Decision, Feedback, Policy, Spec, Window
from policies.constraints import Bounds
from policies.constraints import window as window_around
from policies.masses import TOTAL

__all__ = ["BoundedParams", "BoundedState", "check_rule", "constrained"]


class BoundedParams(NamedTuple):
    """The learner's numbers, the bounds, the approval rule, and (tasks,) the first approved ids."""

    inner: Any
    limits: Bounds
    approval: Rule
    start: Array


class BoundedState(NamedTuple):
    """What the learner knows and what has been approved.

    Attributes:
        inner: the learner's state.
        approved: (tasks,) id of the last approved action.
        approvals: (tasks,) approvals so far.
        since: (tasks,) evaluations since the last approval.
        contexts: (tasks, r, d) the most recent contexts of each task type.
        seen: (tasks,) contexts seen.
        tally: (tasks, k, 6) the policy's own weighted rewards since the last approval.
    """

    inner: Any
    approved: Array
    approvals: Array
    since: Array
    contexts: Array
    seen: Array
    tally: Array


def _remember(spec: Spec, state: BoundedState, decision: Decision) -> tuple[Array, Array]:
    """The reservoir with one more context: a ring, filled whole by the first one."""
    xp = namespace(state.contexts)
    held, count = state.contexts[decision.task], state.seen[decision.task]
    ring = set_row(held, count % spec.reservoir, decision.features)
    filled = xp.where(count == 0, decision.features[None, :] + xp.zeros_like(held), ring)
    contexts = set_row(state.contexts, decision.task, filled)
    return contexts, set_row(state.seen, decision.task, count + np.int32(1))


def _by_belief(inner: Policy, params: BoundedParams, state: BoundedState, decision: Decision) -> tuple[Array, Array]:
    """Candidate slot under `improve`, and whether it may be approved."""
    assert inner.belief is not None
    window, contexts = decision.window, state.contexts[decision.task]
    xp = namespace(contexts)
    mean = inner.belief(params.inner, state.inner, contexts, decision.task, window.action_ids).mean
    slot = improve(mean, window.feasible, incumbent=window.incumbent, span=decision.span)
    ids = xp.stack([window.action_ids[slot], window.action_ids[window.incumbent]])
    pair = inner.belief(params.inner, state.inner, contexts, decision.task, ids)
    rule = params.approval
    return slot, is_better(pair, gamma=rule.gamma, margin=rule.gain * decision.span)


def _by_rewards(params: BoundedParams, state: BoundedState, decision: Decision) -> tuple[Array, Array]:
    """Candidate slot under `two_sample`, and whether it may be approved."""
    tally = state.tally[decision.task]
    xp = namespace(tally)
    window, rule = decision.window, params.approval
    hot = two_sample(tally, window.feasible, incumbent=window.incumbent, z=rule.z, min_plays=rule.min_plays)
    return xp.argmax(hot), xp.sum(hot) > 0.0


def _approve(inner: Policy, params: BoundedParams, state: BoundedState, decision: Decision) -> BoundedState:
    xp = namespace(state.contexts)
    task, window = decision.task, decision.window
    slot, holds = _by_rewards(params, state, decision)
    if inner.belief is not None:
        by_belief = params.approval.by_belief > 0.5
        candidate, better = _by_belief(inner, params, state, decision)
        slot, holds = xp.where(by_belief, candidate, slot), xp.where(by_belief, better, holds)
    moves = holds & (slot != window.incumbent) & (state.since[task] >= params.approval.min_evaluations)
    zero = np.int32(0)
    moved = state._replace(
        approved=set_row(state.approved, task, window.action_ids[slot]),
        approvals=set_row(state.approvals, task, state.approvals[task] + np.int32(1)),
        since=set_row(state.since, task, zero),
        tally=set_row(state.tally, task, xp.zeros_like(state.tally[0])),
    )
    return choose(moves, moved, state)


@cache
def constrained(spec: Spec, inner: Policy) -> Policy:
    """`inner` under hard limits, trust region and an approval rule."""

    def init(params: BoundedParams) -> BoundedState:
        tally = np.zeros((spec.n_tasks, spec.k, TALLY_COLUMNS))
        zeros = np.zeros(spec.n_tasks, np.int32)
        contexts = np.zeros((spec.n_tasks, spec.reservoir, spec.d))
        learned = inner.init(params.inner)
        return BoundedState(learned, params.start, zeros, zeros, contexts, zeros, tally)

    def window(params: BoundedParams, state: BoundedState, task: Array) -> Window:
        return window_around(spec, params.limits, state.approved[task], task)

    def belief(params: BoundedParams, state: BoundedState, contexts: Array, task: Array, action_ids: Array) -> Belief:
        assert inner.belief is not None
        return inner.belief(params.inner, state.inner, contexts, task, action_ids)

    def probs(params: BoundedParams, state: BoundedState, decision: Decision, held: Belief | None) -> Array:
        return inner.probs(params.inner, state.inner, decision, held)

    def update(
        params: BoundedParams, state: BoundedState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> BoundedState:
        xp = namespace(state.contexts)
        learned = inner.update(params.inner, state.inner, decision, choice, feedback)
        contexts, seen = _remember(spec, state, decision)
        weight = TOTAL / xp.astype(choice.mass, state.contexts.dtype)
        reward = xp.where(feedback.valid, feedback.reward, 0.0)
        grown = tallied(state.tally[decision.task], choice.slot, weight, reward)
        tally = set_row(state.tally, decision.task, grown)
        since = set_row(state.since, decision.task, state.since[decision.task] + np.int32(1))
        new = state._replace(inner=learned, contexts=contexts, seen=seen, tally=tally, since=since)
        return choose(feedback.valid, _approve(inner, params, new, decision), state)

    return Policy(init, window, None if inner.belief is None else belief, probs, update)


def check_rule(approval: ApprovalParams, inner: Policy) -> None:
    """Refuse a rule that needs a belief where there is none.

    Raises:
        ValueError: `improve` for a policy without a posterior.
    """
    if approval.rule == "improve" and inner.belief is None:
        raise ValueError("approval.rule = 'improve' needs a belief, this policy has none; use approval=two_sample")
