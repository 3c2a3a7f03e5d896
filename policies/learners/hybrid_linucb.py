"""Hybrid LinUCB: what all actions share over phi, plus an offset of each action's own.

The posterior is exactly that of the joint ridge regression over (beta, all offsets), at O(p^2) a
step. Given beta an offset has a Gaussian posterior, so it is summed out: with A = lambda + plays,
B the sum of phi and b the sum of rewards of one action, its next reward is
(phi - B / A)' beta + b / A plus noise of variance sigma^2 (1 + 1 / A): one more linear
observation of beta. An action that falls out of the table (256 are kept) has taught beta all it
knew; should it return, its offset starts anew.
Source: Li, Chu, Langford & Schapire (2010), algorithm 2, with x = 1 as the action's own features.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, choose, is_jax, namespace, set_row
from policies.base import MAX_WINDOW, Belief, Choice, Decision, Feedback, Policy, Question, Spec
from policies.draws import normal_draws
from policies.features import basis, lift, n_features, phi
from policies.learners.linucb import highest_bound
from policies.linear import LinearParams, SharedState, observed
from policies.slots import EMPTY, find, key_of, place

__all__ = ["HybridState", "Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """Width of the bound, the shared belief, and how far an action may lie off it."""

    alpha: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})
    offset_sd: float = field(default=0.1, metadata={"gt": 0.0, "le": 100.0, "unit": "reward, of an action's offset"})
    features: str = field(default="shared", metadata={"choices": ("shared",), "static": True})


class HybridState(NamedTuple):
    """theta and root of beta as `SharedState`, and 256 actions' own sums.

    Attributes:
        theta: (p,) mean of beta.
        root: (p, p) of its covariance, which has all offsets summed out.
        key: (256,) task * actions + id, -1 where empty.
        plays: (256,).
        reward: (256,) b, summed rewards less the prior mean.
        cross: (256, p) B, summed phi.
        stamp: (256,) decision at which a slot was last played.
        clock: () decisions so far.
    """

    theta: Array
    root: Array
    key: Array
    plays: Array
    reward: Array
    cross: Array
    stamp: Array
    clock: Array


def _precision(params: Params, plays: Array) -> Array:
    """A of actions, in units of the noise's precision."""
    scale = params.noise_sd / params.offset_sd
    return scale * scale + plays


def _init(spec: Spec, params: Params) -> HybridState:
    p, like = n_features(spec), 0.0 * params.prior_sd
    empty, zeros = np.full(MAX_WINDOW, EMPTY, np.int32), np.zeros(MAX_WINDOW) + like
    cross, stamp = np.zeros((MAX_WINDOW, p)) + like, np.zeros_like(empty)
    return HybridState(np.zeros(p) + like, np.eye(p) * params.prior_sd, empty, zeros, zeros, cross, stamp, np.int32(0))


def _belief(spec: Spec, params: Params, state: HybridState, question: Question, action_ids: Array) -> Belief:
    xp = namespace(question.contexts)
    context, m = xp.mean(question.contexts, axis=0), action_ids.shape[0]
    known, slot = find(state.key, key_of(spec, question.task, action_ids))
    A = _precision(params, xp.where(known, xp.take(state.plays, slot, axis=0), 0.0))
    b = xp.where(known, xp.take(state.reward, slot, axis=0), 0.0)
    B = xp.where(known[:, None], xp.take(state.cross, slot, axis=0), 0.0)
    columns = xp.concat([state.theta[:, None], state.root], axis=1)
    here = basis(spec, action_ids, like=context) @ lift(spec, context, question.task, columns)
    here = here - (B / A[:, None]) @ columns
    mean, spread, own = params.prior_mean + here[:, 0] + b / A, here[:, 1:], params.noise_sd / xp.sqrt(A)
    sd = xp.sqrt(xp.sum(spread * spread, axis=-1) + own * own)
    p = n_features(spec)
    z = normal_draws(p + max(MAX_WINDOW, m), spec.n_draws)
    joint, single = (xp.astype(xp.asarray(part), mean.dtype) for part in (z[:p], z[p : p + m]))
    return Belief(mean, sd, mean[:, None] + spread @ joint + own[:, None] * single)


def _outlook(spec: Spec, params: Params, state: HybridState, question: Question) -> Array:
    xp, size = namespace(state.theta), math.prod(spec.shape)
    context = xp.mean(question.contexts, axis=0)
    here = basis(spec, xp.asarray(np.arange(size, dtype=np.int32)), like=context)
    mean = params.prior_mean + (here @ lift(spec, context, question.task, state.theta[:, None]))[:, 0]
    ids = state.key - question.task * size
    mine = (state.key != EMPTY) & (ids >= 0) & (ids < size)
    offset = (state.reward - state.cross @ state.theta) / _precision(params, state.plays)
    return _sum_at(mean, xp.where(mine, ids, 0), xp.where(mine, offset, 0.0))


def _sum_at(x: Array, index: Array, amount: Array) -> Array:
    """A copy of `x` with each amount added at its index, which may repeat; NumPy and JAX only."""
    if is_jax(x):
        return x.at[index].add(amount)
    copy = x.copy()
    np.add.at(copy, index, amount)
    return copy


def _learned(
    spec: Spec, params: Params, state: HybridState, evaluation: tuple[Decision, Choice, Feedback]
) -> HybridState:
    decision, choice, feedback = evaluation
    xp = namespace(state.theta)
    key = key_of(spec, decision.task, choice.action_id)
    slot, is_new = place(state.key, state.stamp, key)
    plays, b, B = (xp.where(is_new, xp.zeros_like(x[slot]), x[slot]) for x in (state.plays, state.reward, state.cross))
    A = _precision(params, plays)
    z = phi(spec, decision.features, decision.task, xp.reshape(choice.action_id, (1,)))[0, :]
    reward = xp.where(feedback.valid, feedback.reward, 0.0) - params.prior_mean
    x, variance = z - B / A, params.noise_sd * params.noise_sd * (1.0 + 1.0 / A)
    before, residual = SharedState(state.theta, state.root), reward - b / A - xp.sum(x * state.theta)
    shared = observed(before, state.root.T @ x, residual=residual, variance=variance)
    clock = state.clock + np.int32(1)
    own = [leaf[slot] for leaf in state[2:7]]
    new = (key, plays + 1.0, b + reward, B + z, clock)
    row = [xp.where(feedback.valid, a, held) for a, held in zip(new, own, strict=True)]
    table = (set_row(leaf, slot, cell) for leaf, cell in zip(state[2:7], row, strict=True))
    leaves = (*choose(feedback.valid, shared, before), *table, xp.where(feedback.valid, clock, state.clock))
    return HybridState(*leaves)


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the hybrid belief."""

    def init(params: Params) -> HybridState:
        return _init(spec, params)

    def belief(params: Params, state: HybridState, question: Question, action_ids: Array) -> Belief:
        return _belief(spec, params, state, question, action_ids)

    def update(
        params: Params, state: HybridState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> HybridState:
        return _learned(spec, params, state, (decision, choice, feedback))

    def outlook(params: Params, state: HybridState, question: Question) -> Array:
        return _outlook(spec, params, state, question)

    return Policy(init, None, belief, highest_bound, update, outlook)
