"""Gaussian linear beliefs: one joint posterior over phi, or one small posterior per action.

Both keep a covariance (or its root) in the state and update it by a rank-one step, so a
decision needs no factorisation. Reward noise variance and prior scale are parameters.
Source: Bierman (1977), Potter's square-root update; Sherman & Morrison (1950).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.base import MAX_WINDOW, Belief, Choice, Decision, Feedback, Question, Spec
from policies.draws import normal_draws
from policies.features import basis, lift, n_features, whole_basis
from policies.slots import EMPTY, find, key_of, place

__all__ = ["LinearModel", "LinearParams", "SharedState", "SlotState", "linear_model", "observed"]


@dataclass(frozen=True)
class LinearParams:
    """What every learner with a linear belief is configured with; learners add their own numbers."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    prior_mean: float = field(default=0.2, metadata={"ge": -100.0, "le": 100.0, "unit": "reward before any data"})
    prior_sd: float = field(default=0.3, metadata={"gt": 0.0, "le": 100.0, "unit": "reward, of each coefficient"})
    noise_sd: float = field(default=0.25, metadata={"gt": 0.0, "le": 100.0, "unit": "reward around its expectation"})
    features: str = field(default="shared", metadata={"choices": ("shared", "disjoint"), "static": True})
    n_draws: int = field(default=64, metadata={"ge": 2, "le": 4096, "static": True, "unit": "posterior draws, even"})


class SharedState(NamedTuple):
    """theta (p,) and a root (p, p) of its covariance: covariance = root root'."""

    theta: Array
    root: Array


class SlotState(NamedTuple):
    """Up to 256 action slots, keyed by task type and action id.

    Attributes:
        key: (256,) task * actions + id, -1 where empty.
        theta: (256, q) coefficients over (1, context).
        covariance: (256, q, q).
        stamp: (256,) decision at which a slot was last played; the oldest gives way when all are taken.
        clock: () decisions so far.
    """

    key: Array
    theta: Array
    covariance: Array
    stamp: Array
    clock: Array


class LinearModel(NamedTuple):
    """`init`, `belief`, `update` and `outlook` of a linear belief, as in `policies.base.Policy`."""

    init: Callable[..., SharedState | SlotState]
    belief: Callable[..., Belief]
    update: Callable[..., SharedState | SlotState]
    outlook: Callable[..., Array] | None


def _constant(like: Array, values: Array) -> Array:
    """A NumPy constant in the library and dtype of `like`."""
    xp = namespace(like)
    return xp.astype(xp.asarray(values), like.dtype)


def _root(x: Array) -> Array:
    xp = namespace(x)
    return xp.sqrt(xp.where(x > 0.0, x, xp.zeros_like(x)))


def _start_shared(spec: Spec, params: LinearParams) -> SharedState:
    p = n_features(spec)
    return SharedState(np.zeros(p) + 0.0 * params.prior_sd, np.eye(p) * params.prior_sd)


def _belief_shared(
    spec: Spec, params: LinearParams, state: SharedState, question: Question, action_ids: Array
) -> Belief:
    contexts, task = question.contexts, question.task
    xp = namespace(contexts)
    context = xp.mean(contexts, axis=0)
    here = basis(spec, action_ids, like=context)
    mean = params.prior_mean + (here @ lift(spec, context, task, state.theta[:, None]))[:, 0]
    root = lift(spec, context, task, state.root)
    spread = here @ root
    sd = xp.sqrt(xp.sum(spread * spread, axis=-1))
    noise = _constant(root, normal_draws(n_features(spec), spec.n_draws))
    few = here.shape[0] < root.shape[0]  # which product is smaller
    return Belief(mean, sd, mean[:, None] + (spread @ noise if few else here @ (root @ noise)))


def _outlook_shared(spec: Spec, params: LinearParams, state: SharedState, question: Question) -> Array:
    xp = namespace(state.theta)
    context = xp.mean(question.contexts, axis=0)
    slopes = lift(spec, context, question.task, state.theta[:, None])
    return params.prior_mean + (whole_basis(spec, like=context) @ slopes)[:, 0]


def observed(state: SharedState, f: Array, *, residual: Array, variance: Array) -> SharedState:
    """The posterior after one observation that is linear in theta: Potter's step.

    Args:
        state: before it.
        f: (p,) root' x of its row x.
        residual: () observed minus expected.
        variance: () of its noise, > 0.
    """
    xp = namespace(state.theta)
    alpha = 1.0 / (xp.sum(f * f) + variance)
    gain = state.root @ f
    theta = state.theta + alpha * residual * gain
    shrink = alpha / (1.0 + xp.sqrt(alpha * variance))
    return SharedState(theta, state.root - shrink * gain[:, None] * f[None, :])


def _update_shared(
    spec: Spec, params: LinearParams, state: SharedState, evaluation: tuple[Decision, Choice, Feedback]
) -> SharedState:
    decision, choice, feedback = evaluation
    xp = namespace(state.theta)
    here = basis(spec, xp.reshape(choice.action_id, (1,)), like=state.theta)
    columns = xp.concat([state.theta[:, None], state.root], axis=1)
    seen = (here @ lift(spec, decision.features, decision.task, columns))[0]
    expected, f = seen[0], seen[1:]
    variance = params.noise_sd * params.noise_sd
    residual = xp.where(feedback.valid, feedback.reward, 0.0) - params.prior_mean - expected
    return choose(feedback.valid, observed(state, f, residual=residual, variance=variance), state)


def _start_slots(spec: Spec, params: LinearParams) -> SlotState:
    q = 1 + spec.d
    scale = 0.0 * params.prior_sd
    covariance = np.broadcast_to(np.eye(q), (MAX_WINDOW, q, q)) * params.prior_sd**2
    empty = np.full(MAX_WINDOW, EMPTY, np.int32)
    return SlotState(empty, np.zeros((MAX_WINDOW, q)) + scale, covariance, np.zeros_like(empty), np.int32(0))


def _with_intercept(context: Array) -> Array:
    xp = namespace(context)
    return xp.concat([xp.ones_like(context[:1]), context], axis=-1)


def _belief_slots(spec: Spec, params: LinearParams, state: SlotState, question: Question, action_ids: Array) -> Belief:
    contexts, task = question.contexts, question.task
    xp = namespace(contexts)
    x = _with_intercept(xp.mean(contexts, axis=0))
    known, slot = find(state.key, key_of(spec, task, action_ids))
    theta, covariance = xp.take(state.theta, slot, axis=0), xp.take(state.covariance, slot, axis=0)
    variance = xp.sum((covariance @ x) * x[None, :], axis=-1)
    prior = xp.sum(x * x) * params.prior_sd * params.prior_sd
    mean = params.prior_mean + xp.where(known, theta @ x, 0.0)
    sd = _root(xp.where(known, variance, prior))
    m = action_ids.shape[0]
    draws = normal_draws(max(MAX_WINDOW, m), spec.n_draws)[:m]
    return Belief(mean, sd, mean[:, None] + sd[:, None] * _constant(sd, draws))


def _update_slots(
    spec: Spec, params: LinearParams, state: SlotState, evaluation: tuple[Decision, Choice, Feedback]
) -> SlotState:
    decision, choice, feedback = evaluation
    xp = namespace(state.theta)
    x = _with_intercept(decision.features)
    key = key_of(spec, decision.task, choice.action_id)
    slot, is_new = place(state.key, state.stamp, key)
    fresh = _constant(x, np.eye(1 + spec.d)) * params.prior_sd * params.prior_sd
    theta = xp.where(is_new, xp.zeros_like(x), state.theta[slot])
    covariance = xp.where(is_new, fresh, state.covariance[slot])
    gain = covariance @ x
    alpha = 1.0 / (xp.sum(x * gain) + params.noise_sd * params.noise_sd)
    reward = xp.where(feedback.valid, feedback.reward, 0.0)
    residual = reward - params.prior_mean - xp.sum(x * theta)
    clock = state.clock + np.int32(1)
    new = SlotState(
        key, theta + alpha * residual * gain, covariance - alpha * gain[:, None] * gain[None, :], clock, clock
    )
    old = SlotState(state.key[slot], state.theta[slot], state.covariance[slot], state.stamp[slot], state.clock)
    row = choose(feedback.valid, new, old)  # of the slot alone: the table itself is never copied
    return SlotState(
        set_row(state.key, slot, row.key),
        set_row(state.theta, slot, row.theta),
        set_row(state.covariance, slot, row.covariance),
        set_row(state.stamp, slot, row.stamp),
        row.clock,
    )


@cache
def linear_model(spec: Spec) -> LinearModel:
    """The belief that `spec.features` names; equal specs give the same object.

    Raises:
        ValueError: features other than `shared` or `disjoint`.
    """
    if spec.features not in ("shared", "disjoint"):
        raise ValueError(f"features = {spec.features!r}, need 'shared' or 'disjoint'")
    shared = spec.features == "shared"
    start: Callable[..., Any] = _start_shared if shared else _start_slots
    believe: Callable[..., Belief] = _belief_shared if shared else _belief_slots
    learn: Callable[..., Any] = _update_shared if shared else _update_slots

    def init(params: LinearParams) -> Any:
        return start(spec, params)

    def belief(params: LinearParams, state: Any, question: Question, action_ids: Array) -> Belief:
        return believe(spec, params, state, question, action_ids)

    def update(params: LinearParams, state: Any, decision: Decision, choice: Choice, feedback: Feedback) -> Any:
        return learn(spec, params, state, (decision, choice, feedback))

    def outlook(params: LinearParams, state: SharedState, question: Question) -> Array:
        return _outlook_shared(spec, params, state, question)

    return LinearModel(init, belief, update, outlook if shared else None)
