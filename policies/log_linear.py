"""Log-linear policies fitted off-policy: the logger's shape, tilted by what its log says is better.

pi(a | x) is in proportion to prior(a | x) exp(weights . phi(x, a) / (divergence_cost span)). With the
exact weights of a linear reward it is the policy of highest value less divergence_cost span KL(pi || prior);
the weights are one natural-gradient step of that objective from the prior: the importance-weighted
gradient of the value over the prior's Fisher information. Both are sums over rows, so a log of any
logger whose propensities are known is folded row by row. A row is scored doubly robustly with what
earlier rows predict, which keeps it unbiased (but for `cap`); the prediction alone tells IPW from DR.
In a context where the tilt would leave a log of the prior less ESS than `support`, it is made smaller:
what comes out can be judged where it came from, on another log of the same logger.
Source: Kakade (2002), equation 4; Todorov (2009) for the KL-regularised optimum; Dudik, Langford &
Li (2011), equation 6.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace
from policies.base import Belief, Choice, Decision, Feedback, Policy, Spec
from policies.features import basis, lift, n_features
from policies.floored import floored
from policies.learners import proximity
from policies.linear import SharedState, observed
from policies.masses import TOTAL

__all__ = ["LogLinearParams", "LogLinearState", "closeness", "log_linear", "supported", "with_logits"]

OCTAVES = 2.0 ** -np.arange(20.0)  # shares of a tilt that are tried; below, it is left out
STEPS = 1.0 + np.arange(32.0) / 32.0  # between one octave and the next


@dataclass(frozen=True)
class LogLinearParams:
    """The prior, which should be the logger's shape; the cost of leaving it; the rows' ridge."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    divergence_cost: float = field(
        default=0.01, metadata={"ge": 1e-6, "le": 1e6, "unit": "of the declared reward range, per nat from the prior"}
    )
    support: float = field(
        default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "ESS left of a log of the prior, share of rows"}
    )
    uniform: float = field(default=0.5, metadata={"ge": 0.001, "le": 1.0, "unit": "share of the prior that is uniform"})
    sharpness: float = field(default=6.0, metadata={"ge": 0.0, "le": 1e4, "unit": "of the prior, per squared radius"})
    ridge: float = field(default=1.0, metadata={"ge": 1e-6, "le": 1e6, "unit": "rows at unit features"})
    neutral: float = field(default=0.2, metadata={"ge": -100.0, "le": 100.0, "unit": "reward predicted without data"})
    cap: float = field(default=20.0, metadata={"ge": 1.0, "le": 1e6, "unit": "largest importance weight of a row"})


class LogLinearState(NamedTuple):
    """Sums over rows, the weights they give, and the running prediction.

    Attributes:
        gram: (p, p) ridge plus the prior's covariance of phi in every row's window.
        moment: (p,) the doubly robust covariance of phi with the reward, reward units.
        weights: (p,) gram^-1 moment.
        theta: (m,) coefficients of the prediction: over phi (DR), or one mean (IPW).
        root: (m, m) root of their posterior covariance.
    """

    gram: Array
    moment: Array
    weights: Array
    theta: Array
    root: Array


class _Row(NamedTuple):
    """A window through phi = here @ block: (k, b) basis, its deviation from the prior's mean, (b, p), (k,) prior."""

    here: Array
    gap: Array
    block: Array
    prior: Array


def with_logits(params: LogLinearParams, state: LogLinearState, logits: Array, *, span: float) -> LogLinearState:
    """A state whose policy tilts the prior by given logits: how a fit made elsewhere is frozen and served.

    Args:
        params: whose divergence cost turns logits into weights.
        state: any of this learner's.
        logits: (p,) nats per entry of phi.
        span: width of the declared reward range.

    Raises:
        ValueError: logits of another shape.
    """
    if logits.shape != state.weights.shape:
        raise ValueError(f"logits have shape {logits.shape}, need {state.weights.shape}, one for each entry of phi")
    return state._replace(weights=logits * (params.divergence_cost * span))


def supported(prior: Array, gap: Array, *, support: Array) -> Array:
    """(k,) the prior tilted by exp(gap), or by as much of gap as leaves the support wanted.

    The ESS that judging a policy on a log of the prior leaves is 1 / E[(policy / prior)^2] of its rows; it
    falls as the tilt grows. Of the shares of the gap that leave enough, the largest is taken, to within 1/32.

    Args:
        prior: (k,) probabilities.
        gap: (k,) nats, <= 0, 0 at some slot of positive probability.
        support: () share of rows, 0 to 1; 0 asks for nothing, 1 returns the prior.
    """
    xp = namespace(prior)

    def largest(shares: Array) -> Array:
        tilt = xp.exp(shares[:, None] * gap[None, :])
        weight = prior[None, :] * tilt
        total = xp.sum(weight, axis=-1)
        is_enough = support * xp.sum(weight * tilt, axis=-1) <= total * total
        return xp.max(xp.where(is_enough, shares, xp.zeros_like(shares)))

    octaves, steps = (xp.astype(xp.asarray(values), prior.dtype) for values in (OCTAVES, STEPS))
    finer = largest(octaves) * steps
    share = largest(xp.where(finer < 1.0, finer, xp.ones_like(finer)))
    weight = prior * xp.exp(share * gap)
    return weight / xp.sum(weight)


@cache
def closeness(spec: Spec) -> Callable[[LogLinearParams, Decision], Array]:
    """The prior of a window: (params, decision) -> (k,), that of `learners.proximity` with its floor."""
    near = floored(proximity.make(spec))

    def prior(params: LogLinearParams, decision: Decision) -> Array:
        return near.probs(proximity.Params(params.uniform, params.sharpness), (), decision, None)

    return prior


def _seen(spec: Spec, prior: Array, decision: Decision) -> _Row:
    xp = namespace(prior)
    here = basis(spec, decision.window.action_ids, like=prior)
    identity = xp.astype(xp.asarray(np.eye(n_features(spec))), prior.dtype)
    block = lift(spec, decision.features, decision.task, identity)
    return _Row(here, here - (prior @ here)[None, :], block, prior)


def _predicted(state: LogLinearState, row: _Row, *, neutral: Array, linear: bool) -> Array:
    """(k,) rewards that earlier rows predict."""
    xp = namespace(row.here)
    if linear:
        return neutral + row.here @ (row.block @ state.theta)
    return neutral + state.theta[0] * xp.ones_like(row.prior)


def _added(
    params: LogLinearParams, state: LogLinearState, row: _Row, *, played: tuple[Choice, Array], linear: bool
) -> LogLinearState:
    """The sums with one more row: the slot that was played, and the reward it brought."""
    choice, reward = played
    xp = namespace(row.here)
    slot = xp.reshape(choice.slot, (1,))
    q = _predicted(state, row, neutral=params.neutral, linear=linear)
    error = reward - xp.take(q, slot)[0]
    weight = xp.take(row.prior, slot)[0] * TOTAL / xp.astype(choice.mass, row.prior.dtype)
    weight = xp.where(weight < params.cap, weight, xp.ones_like(weight) * params.cap)
    gain = (row.prior * q) @ row.gap + weight * error * xp.take(row.gap, slot, axis=0)[0, :]
    spread = row.block.T @ (row.gap.T @ (row.prior[:, None] * row.gap)) @ row.block
    gram, moment = state.gram + spread, state.moment + gain @ row.block
    x = xp.take(row.here, slot, axis=0)[0, :] @ row.block if linear else xp.ones_like(state.theta)
    model = observed(SharedState(state.theta, state.root), x @ state.root, residual=error, variance=1.0)
    return LogLinearState(gram, moment, xp.linalg.solve(gram, moment), model.theta, model.root)


@cache
def log_linear(spec: Spec, prediction: Literal["mean", "linear"]) -> Policy:
    """The policy of the weights so far; refitted at every row.

    Args:
        spec: static facts.
        prediction: `mean`, the running mean reward (IPW with that for a baseline), or `linear`,
            the running ridge regression over phi (DR).
    """
    prior, linear = closeness(spec), prediction == "linear"
    p = n_features(spec)
    m = p if linear else 1

    def init(params: LogLinearParams) -> LogLinearState:
        zeros = np.zeros(p) + 0.0 * params.ridge
        unsure = np.eye(m) / params.ridge**0.5
        return LogLinearState(np.eye(p) * params.ridge, zeros, zeros, np.zeros(m) + 0.0 * params.ridge, unsure)

    def probs(params: LogLinearParams, state: LogLinearState, decision: Decision, _belief: Belief | None) -> Array:
        xp, feasible = namespace(state.weights), decision.window.feasible
        slopes = lift(spec, decision.features, decision.task, state.weights[:, None])
        score = (basis(spec, decision.window.action_ids, like=state.weights) @ slopes)[:, 0]
        best = xp.max(xp.where(feasible, score, xp.min(score) - 1.0))
        gap = xp.where(feasible, score - best, xp.zeros_like(score)) / (params.divergence_cost * decision.span)
        return supported(prior(params, decision), gap, support=params.support)

    def update(
        params: LogLinearParams, state: LogLinearState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> LogLinearState:
        row = _seen(spec, prior(params, decision), decision)
        reward = namespace(row.here).where(feedback.valid, feedback.reward, params.neutral)
        added = _added(params, state, row, played=(choice, reward), linear=linear)
        return choose(feedback.valid, added, state)

    return Policy(init=init, window=None, belief=None, probs=probs, update=update)
