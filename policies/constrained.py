"""A learner inside its bounds: hard limits, trust region, and the approvals that move it.

The learner never knows. The wrapper keeps the approved action of every task type, hands
the learner the window around it, and after each update asks the approval rule whether
the approved action may move; the move takes effect at the next decision.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.approval import TALLY_COLUMNS, Rule, improve, is_better, one_hot_slot, tallied, two_sample
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


class _Own(NamedTuple):
    """`BoundedState` of one task type, the learner left out."""

    approved: Array
    approvals: Array
    since: Array
    contexts: Array
    seen: Array
    tally: Array


def _with_row(spec: Spec, own: _Own, row: tuple[Decision, Choice, Feedback]) -> _Own:
    """One more valid evaluation: the reservoir is a ring, filled whole by the first context."""
    decision, choice, feedback = row
    xp, window = namespace(own.contexts), decision.window
    in_reach = (window.action_ids == choice.action_id) & window.feasible
    ring = set_row(own.contexts, own.seen % spec.reservoir, decision.features)
    filled = decision.features[None, :] + xp.zeros_like(own.contexts)
    weight = TOTAL / xp.astype(choice.mass, own.tally.dtype)
    reward = xp.where(feedback.valid, feedback.reward, 0.0)
    return own._replace(
        since=own.since + np.int32(1),
        contexts=xp.where(own.seen == 0, filled, ring),
        seen=own.seen + np.int32(1),
        tally=tallied(own.tally, in_reach, weight, reward),
    )


def _by_belief(
    inner: Policy, params: BoundedParams, learned: Any, own: _Own, decision: Decision
) -> tuple[Array, Array]:
    """Candidate slot under `improve`, and whether it may be approved."""
    assert inner.belief is not None
    window, contexts, rule = decision.window, own.contexts, params.approval
    xp = namespace(contexts)
    mean = inner.belief(params.inner, learned, contexts, decision.task, window.action_ids).mean
    slot = improve(mean, window.feasible, incumbent=window.incumbent, span=decision.span)
    ids = xp.stack([window.action_ids[slot], own.approved])
    pair = inner.belief(params.inner, learned, contexts, decision.task, ids)
    return slot, is_better(pair, gamma=rule.gamma, margin=rule.gain * decision.span)


def _by_rewards(params: BoundedParams, own: _Own, decision: Decision) -> tuple[Array, Array]:
    """Candidate slot under `two_sample`, and whether it may be approved."""
    xp = namespace(own.tally)
    window, rule = decision.window, params.approval
    hot = two_sample(own.tally, window.feasible, incumbent=window.incumbent, z=rule.z, min_plays=rule.min_plays)
    return one_hot_slot(hot), xp.sum(hot) > 0.0


def _approve(inner: Policy, params: BoundedParams, learned: Any, own: _Own, decision: Decision) -> _Own:
    xp = namespace(own.contexts)
    window, rule = decision.window, params.approval
    slot, holds = _by_rewards(params, own, decision)
    if inner.belief is not None:
        candidate, better = _by_belief(inner, params, learned, own, decision)
        slot = xp.where(rule.by_belief > 0.5, candidate, slot)
        holds = xp.where(rule.by_belief > 0.5, better, holds)
    moves = holds & (slot != window.incumbent) & (own.since >= rule.min_evaluations)
    return own._replace(
        approved=xp.where(moves, window.action_ids[slot], own.approved),
        approvals=own.approvals + xp.astype(moves, xp.int32),
        since=xp.where(moves, 0, own.since),
        tally=xp.where(moves, 0.0, own.tally),
    )


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
        learned = inner.update(params.inner, state.inner, decision, choice, feedback)
        own = _Own(*(leaf[decision.task] for leaf in state[1:]))
        here = decision._replace(window=window(params, state, decision.task))  # a late reward: the region has moved
        grown = _with_row(spec, own, (here, choice, feedback))
        after = choose(feedback.valid, _approve(inner, params, learned, grown, here), own)
        kept = (set_row(leaf, decision.task, row) for leaf, row in zip(state[1:], after, strict=True))
        return BoundedState(learned, *kept)

    return Policy(init, window, None if inner.belief is None else belief, probs, update)


def check_rule(approval: ApprovalParams, inner: Policy) -> None:
    """Refuse a rule that needs a belief where there is none.

    Raises:
        ValueError: `improve` for a policy without a posterior.
    """
    if approval.rule == "improve" and inner.belief is None:
        raise ValueError("approval.rule = 'improve' needs a belief, this policy has none; use approval=two_sample")
