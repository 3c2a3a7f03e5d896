"""A learner inside its bounds: hard limits, trust region, and the approvals that move it.

The learner never knows. The wrapper keeps the approved action of every task type, hands
the learner the window around it, and after each update asks the approval rule whether
the approved action may move; the move takes effect at the next decision.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.approval import (
    PASSAGE,
    TALLY_COLUMNS,
    Rule,
    improve,
    is_better,
    one_hot_slot,
    settled,
    standing,
    tallied,
    two_sample,
)
from policies.approval import Params as ApprovalParams
from policies.base import Belief, Choice, Decision, Feedback, Policy, Question, Spec, Window
from policies.constraints import Bounds
from policies.constraints import window as window_around
from policies.masses import TOTAL
from policies.passage import best_ahead, toward

__all__ = ["BoundedParams", "BoundedState", "check_rule", "constrained"]


class BoundedParams(NamedTuple):
    """The learner's numbers, the bounds, the approval rule, and (tasks,) the first approved ids.

    `legal` (tasks, actions): what meets the hard limits and was recorded.
    """

    inner: Any
    limits: Bounds
    approval: Rule
    start: Array
    legal: Array


class BoundedState(NamedTuple):
    """What the learner knows and what has been approved.

    Attributes:
        inner: the learner's state.
        approved: (tasks,) id of the last approved action.
        approvals: (tasks,) approvals so far.
        steps: (tasks,) those of them that were non-inferior steps.
        refused: (tasks,) evaluations at which a candidate promised a gain and was held back.
        debt: (tasks,) the ledger: losses accepted since the best approved point, in reward units.
        since: (tasks,) evaluations since the last approval.
        contexts: (tasks, r, d) the most recent contexts of each task type.
        seen: (tasks,) contexts seen.
        tally: (tasks, k, 6) the policy's own weighted rewards since the last approval.
    """

    inner: Any
    approved: Array
    approvals: Array
    steps: Array
    refused: Array
    debt: Array
    since: Array
    contexts: Array
    seen: Array
    tally: Array


class _Own(NamedTuple):
    """`BoundedState` of one task type, the learner left out."""

    approved: Array
    approvals: Array
    steps: Array
    refused: Array
    debt: Array
    since: Array
    contexts: Array
    seen: Array
    tally: Array


class _Asked(NamedTuple):
    """What an approval rule is asked about: numbers, the learner's state, the decision, whether a step has a goal."""

    params: BoundedParams
    learned: Any
    decision: Decision
    passage: bool


class _Routes(NamedTuple):
    """(routes,) slots that a non-inferior step may go to, the first that is able wins; () whether it is worth one."""

    slots: Array
    worth: Array


class _Move(NamedTuple):
    """What an approval rule says: () slot, whether it moves, as a step, what it is expected to gain, held back."""

    slot: Array
    moves: Array
    is_step: Array
    gain: Array
    refused: Array


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


def _routes(spec: Spec, inner: Policy, asked: _Asked, own: _Own, slot: Array) -> _Routes:
    """Toward what the whole lattice promises where steps have a goal, else to the candidate."""
    params, learned, decision, passage = asked
    xp = namespace(own.contexts)
    if not passage:
        return _Routes(xp.stack([slot]), xp.asarray(True))
    assert inner.outlook is not None
    outlook = inner.outlook(params.inner, learned, Question(own.contexts, decision.task, decision.prices))
    goal, ahead = best_ahead(outlook, params.legal[decision.task], own.approved)
    slots = toward(spec, params.limits, own.approved, goal)
    return _Routes(slots, ahead >= params.approval.ahead * decision.span)


def _by_belief(spec: Spec, inner: Policy, asked: _Asked, own: _Own) -> _Move:
    """The best posterior mean if it improves, else a non-inferior step if nothing did for long."""
    assert inner.belief is not None
    params, learned, decision, _ = asked
    window, rule, span = decision.window, params.approval, decision.span
    question = Question(own.contexts, decision.task, decision.prices)
    xp = namespace(own.contexts)
    mean = inner.belief(params.inner, learned, question, window.action_ids).mean
    slot = improve(mean, window.feasible, incumbent=window.incumbent, span=span)
    routes, worth = _routes(spec, inner, asked, own, slot)
    ids = xp.take(window.action_ids, xp.concat([xp.stack([slot]), routes, xp.stack([window.incumbent])]), axis=0)
    belief = inner.belief(params.inner, learned, question, ids)
    stand = standing(belief, delta=rule.delta * span)
    pair = Belief(*(xp.stack([part[0], part[-1]]) for part in belief))
    promising = is_better(pair, gamma=rule.gamma, margin=rule.gain * span) & (slot != window.incumbent)
    improves = promising & (stand.tolerable[0] >= rule.safe)
    is_open = xp.take(window.feasible, routes, axis=0) & (routes != window.incumbent)
    is_owed = settled(own.debt, stand.gain[1:], is_step=worth) <= rule.ledger * span
    able = is_open & (stand.tolerable[1:] >= rule.ni) & is_owed
    first = xp.argmax(able)
    steps = ~improves & worth & xp.any(able) & (xp.astype(own.since, mean.dtype) >= rule.stuck)
    return _Move(
        slot=xp.where(steps, routes[first], slot),
        moves=improves | steps,
        is_step=steps,
        gain=xp.where(steps, stand.gain[1:][first], stand.gain[0]),
        refused=promising & ~improves,
    )


def _by_rewards(params: BoundedParams, own: _Own, decision: Decision) -> _Move:
    """What `two_sample` says."""
    xp = namespace(own.tally)
    window, rule = decision.window, params.approval
    hot = two_sample(own.tally, window.feasible, incumbent=window.incumbent, z=rule.z, min_plays=rule.min_plays)
    no = xp.asarray(False)
    return _Move(one_hot_slot(hot), xp.sum(hot) > 0.0, no, 0.0 * own.debt, no)


def _approve(spec: Spec, inner: Policy, asked: _Asked, own: _Own) -> _Own:
    params, decision = asked.params, asked.decision
    xp, window, rule = namespace(own.contexts), decision.window, params.approval
    move = _by_rewards(params, own, decision)
    if inner.belief is not None:
        move = choose(rule.by_belief > 0.5, _by_belief(spec, inner, asked, own), move)
    due = own.since >= rule.min_evaluations
    moves = due & move.moves & (move.slot != window.incumbent)
    return own._replace(
        approved=xp.where(moves, window.action_ids[move.slot], own.approved),
        approvals=own.approvals + xp.astype(moves, xp.int32),
        steps=own.steps + xp.astype(moves & move.is_step, xp.int32),
        refused=own.refused + xp.astype(due & move.refused & ~moves, xp.int32),
        debt=xp.where(moves, settled(own.debt, move.gain, is_step=move.is_step), own.debt),
        since=xp.where(moves, 0, own.since),
        tally=xp.where(moves, 0.0, own.tally),
    )


@cache
def constrained(spec: Spec, inner: Policy, *, passage: bool = False) -> Policy:
    """`inner` under hard limits, trust region and an approval rule; `passage` where it asks for the outlook."""

    def init(params: BoundedParams) -> BoundedState:
        tally = np.zeros((spec.n_tasks, spec.k, TALLY_COLUMNS))
        zeros = np.zeros(spec.n_tasks, np.int32)
        contexts = np.zeros((spec.n_tasks, spec.reservoir, spec.d))
        learned, debt = inner.init(params.inner), np.zeros(spec.n_tasks)
        return BoundedState(learned, params.start, zeros, zeros, zeros, debt, zeros, contexts, zeros, tally)

    def window(params: BoundedParams, state: BoundedState, task: Array) -> Window:
        return window_around(spec, params.limits, state.approved[task], task)

    def belief(params: BoundedParams, state: BoundedState, question: Question, action_ids: Array) -> Belief:
        assert inner.belief is not None
        return inner.belief(params.inner, state.inner, question, action_ids)

    def outlook(params: BoundedParams, state: BoundedState, question: Question) -> Array:
        assert inner.outlook is not None
        return inner.outlook(params.inner, state.inner, question)

    def probs(params: BoundedParams, state: BoundedState, decision: Decision, held: Belief | None) -> Array:
        return inner.probs(params.inner, state.inner, decision, held)

    def update(
        params: BoundedParams, state: BoundedState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> BoundedState:
        learned = inner.update(params.inner, state.inner, decision, choice, feedback)
        own = _Own(*(leaf[decision.task] for leaf in state[1:]))
        here = decision._replace(window=window(params, state, decision.task))  # a late reward: the region has moved
        grown = _with_row(spec, own, (here, choice, feedback))
        moved = _approve(spec, inner, _Asked(params, learned, here, passage), grown)
        after = choose(feedback.valid, moved, own)
        kept = (set_row(leaf, decision.task, row) for leaf, row in zip(state[1:], after, strict=True))
        return BoundedState(learned, *kept)

    has_belief, has_outlook = inner.belief is not None, inner.outlook is not None
    return Policy(init, window, belief if has_belief else None, probs, update, outlook if has_outlook else None)


def check_rule(approval: ApprovalParams, inner: Policy) -> None:
    """Refuse a rule that needs a belief, or an outlook, where there is none.

    Raises:
        ValueError: any rule but `two_sample` for a policy without a posterior; `passage` without an outlook.
    """
    if approval.rule != "two_sample" and inner.belief is None:
        raise ValueError(
            f"approval.rule = {approval.rule!r} needs a belief, this policy has none; use approval=two_sample"
        )
    if approval.rule == PASSAGE and inner.outlook is None:
        raise ValueError(
            f"approval.rule = {PASSAGE!r} needs the posterior mean of the whole lattice, this policy has none; "
            "use approval=hybrid"
        )
