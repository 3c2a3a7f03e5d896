"""Joint linear beliefs that forget: every row fades, or only the last rows count.

Both are exact ridge regressions, of discounted rows and of the rows in a ring, kept in square-root
form at O(p^2) a row. Time is counted in evaluations with usable feedback, over all task types.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.base import Belief, Choice, Decision, Feedback, Question, Spec
from policies.features import n_features
from policies.joint import Row, Seen, absorb, look, need_shared
from policies.linear import LinearParams, SharedState, linear_model

__all__ = [
    "RING",
    "DiscountParams",
    "DiscountState",
    "Forgetful",
    "SlidingParams",
    "SlidingState",
    "discounted_model",
    "sliding_model",
]

RING = 256  # rows that a sliding window can hold


@dataclass(frozen=True)
class DiscountParams(LinearParams):
    """The linear belief's numbers, and how much of a row is left one evaluation later."""

    features: str = field(default="shared", metadata={"choices": ("shared",), "static": True})
    discount: float = field(default=0.99, metadata={"gt": 0.0, "le": 1.0, "unit": "weight left after one evaluation"})


@dataclass(frozen=True)
class SlidingParams(LinearParams):
    """The linear belief's numbers, and how many rows it remembers."""

    features: str = field(default="shared", metadata={"choices": ("shared",), "static": True})
    memory: int = field(default=200, metadata={"ge": 1, "le": RING, "unit": "evaluations, of all task types"})


class DiscountState(NamedTuple):
    """theta (p,), a root (p, p) of its covariance, and () the number of rows so far."""

    theta: Array
    root: Array
    clock: Array


class SlidingState(NamedTuple):
    """A posterior of the last rows, the rows, and a posterior that only ever grew.

    Attributes:
        theta: (p,) coefficients given the last `memory` rows.
        root: (p, p) of their covariance.
        fresh_theta: (p,) coefficients given the rows since the last change of guard.
        fresh_root: (p, p) of their covariance.
        inputs: (RING, d + 1) context and reward of each row.
        played: (RING, 2) task type and action id.
        clock: () rows so far.
    """

    theta: Array
    root: Array
    fresh_theta: Array
    fresh_root: Array
    inputs: Array
    played: Array
    clock: Array


class _Guards(NamedTuple):
    """The leaves of a sliding state that are no ring."""

    held: SharedState
    fresh: SharedState
    clock: Array


class Forgetful(NamedTuple):
    """`init`, `belief`, `update` and `outlook`, as in `policies.base.Policy`."""

    init: Callable[[Any], Any]
    belief: Callable[[Any, Any, Question, Array], Belief]
    update: Callable[[Any, Any, Decision, Choice, Feedback], Any]
    outlook: Callable[[Any, Any, Question], Array]


def _prior(spec: Spec, params: LinearParams) -> SharedState:
    p = n_features(spec)
    return SharedState(np.zeros(p) + 0.0 * params.prior_sd, np.eye(p) * params.prior_sd)


def _prior_like(state: SlidingState, params: LinearParams) -> SharedState:
    """The prior in the library and dtype of a state."""
    xp = namespace(state.root)
    identity = xp.astype(xp.asarray(np.eye(state.root.shape[0])), state.root.dtype)
    return SharedState(xp.zeros_like(state.theta), identity * params.prior_sd)


def _refilled(params: DiscountParams, held: SharedState, clock: Array) -> SharedState:
    """The prior of one coordinate given back, p times what the discount took from it in this round."""
    xp = namespace(held.root)
    p = held.root.shape[0]
    turn = xp.reshape(clock % p, (1,))
    seen = Seen(xp.take(held.theta, turn, axis=0)[0], xp.take(held.root, turn, axis=0)[0])
    return absorb(held, seen, target=0.0, weight=p * (1.0 - params.discount) / (params.prior_sd * params.prior_sd))


def _from(gaussian: Any, init: Any, update: Any) -> Forgetful:
    """The belief of a state that begins with theta and root."""

    def belief(params: LinearParams, state: Any, question: Question, action_ids: Array) -> Belief:
        held: Belief = gaussian.belief(params, SharedState(state.theta, state.root), question, action_ids)
        return held

    def outlook(params: LinearParams, state: Any, question: Question) -> Array:
        return gaussian.outlook(params, SharedState(state.theta, state.root), question)

    return Forgetful(init, belief, update, outlook)


@cache
def discounted_model(spec: Spec) -> Forgetful:
    """Ridge regression in which a row of age a weighs discount^a; one matrix.

    D-LinUCB keeps the prior out of the discount and a second matrix for its width. Here the
    prior is given back one coordinate a round, in turn, p times what one round takes from it: each
    coordinate's prior precision settles within [discount^p, 1] p (1 - discount) / (1 - discount^p) of its
    first value, so no width grows without bound, and the step stays O(p^2). The width is that of the
    one matrix, which bounds the two-matrix width from above and has the same regret rate (Wang, Zhao & Zhou).
    Source: Russac, Vernade & Cappe (2019), algorithm 1; Wang, Zhao & Zhou (2023), one matrix.
    """
    need_shared(spec)

    def init(params: DiscountParams) -> DiscountState:
        return DiscountState(*_prior(spec, params), np.int32(0))

    def update(
        params: DiscountParams, state: DiscountState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> DiscountState:
        xp = namespace(state.theta)
        faded = SharedState(state.theta, state.root / params.discount**0.5)
        faded = _refilled(params, faded, state.clock)
        seen = look(spec, faded, Row(decision.features, decision.task, choice.action_id))
        target = xp.where(feedback.valid, feedback.reward, 0.0) - params.prior_mean
        after = absorb(faded, seen, target=target, weight=1.0 / (params.noise_sd * params.noise_sd))
        return choose(feedback.valid, DiscountState(*after, state.clock + np.int32(1)), state)

    return _from(linear_model(spec), init, update)


def _with_row(spec: Spec, params: SlidingParams, held: SharedState, row: tuple[Row, Array, Array]) -> SharedState:
    """A posterior with a row of that reward and sign: 1 adds, -1 takes out, 0 does nothing."""
    where, reward, sign = row
    weight = sign / (params.noise_sd * params.noise_sd)
    return absorb(held, look(spec, held, where), target=reward - params.prior_mean, weight=weight)


def _oldest(spec: Spec, state: SlidingState, memory: Array) -> tuple[Row, Array, Array]:
    """The row that leaves when one more comes, its reward, and its sign (0 while the ring fills)."""
    xp = namespace(state.inputs)
    at = xp.reshape((state.clock - memory) % RING, (1,))
    inputs, played = xp.take(state.inputs, at, axis=0)[0], xp.take(state.played, at, axis=0)[0]
    sign = -xp.astype(state.clock >= memory, state.inputs.dtype)
    return Row(inputs[: spec.d], played[0], played[1]), inputs[spec.d], sign


@cache
def sliding_model(spec: Spec) -> Forgetful:
    """Ridge regression on the last `memory` rows.

    A row comes in by a rank-one step and leaves by its inverse. Steps back lose digits, so a second
    posterior only grows: every `memory` rows it holds exactly those in memory, takes over, and the next
    one starts from the prior. Rounding errors thus never outlive `memory` rows.
    Source: Cheung, Simchi-Levi & Zhu (2019), SW-UCB, algorithm 1; width: one matrix, as there.
    """
    need_shared(spec)

    def init(params: SlidingParams) -> SlidingState:
        inputs, played = np.zeros((RING, spec.d + 1)), np.zeros((RING, 2), np.int32)
        return SlidingState(*_prior(spec, params), *_prior(spec, params), inputs, played, np.int32(0))

    def guards(params: SlidingParams, state: SlidingState, new: tuple[Row, Array, Array]) -> _Guards:
        xp = namespace(state.theta)
        memory = xp.astype(xp.asarray(params.memory), xp.int32)
        held = _with_row(spec, params, SharedState(state.theta, state.root), new)
        held = _with_row(spec, params, held, _oldest(spec, state, memory))
        fresh = _with_row(spec, params, SharedState(state.fresh_theta, state.fresh_root), new)
        clock = state.clock + np.int32(1)
        relieved = clock % memory == 0
        return _Guards(choose(relieved, fresh, held), choose(relieved, _prior_like(state, params), fresh), clock)

    def update(
        params: SlidingParams, state: SlidingState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> SlidingState:
        xp = namespace(state.theta)
        reward = xp.where(feedback.valid, feedback.reward, 0.0)
        row = Row(decision.features, decision.task, choice.action_id)
        old = _Guards(SharedState(*state[:2]), SharedState(*state[2:4]), state.clock)
        after = choose(feedback.valid, guards(params, state, (row, reward, xp.ones_like(reward))), old)
        at = state.clock % RING
        inputs = xp.concat([decision.features, xp.reshape(reward, (1,))])
        played = xp.stack([decision.task, choice.action_id])
        return SlidingState(
            *after.held,
            *after.fresh,
            set_row(state.inputs, at, xp.where(feedback.valid, inputs, state.inputs[at])),
            set_row(state.played, at, xp.where(feedback.valid, played, state.played[at])),
            after.clock,
        )

    return _from(linear_model(spec), init, update)
