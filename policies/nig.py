"""A joint Gaussian belief whose noise variance is learned too: normal-inverse-gamma.

theta | s2 ~ N(m, s2 V), s2 ~ IG(shape, rate): conjugate, so the update is exact and O(p^2), and the
posterior of an expected reward is Student-t with 2 shape degrees of freedom. The prior is set so
that reward noise has prior mean variance noise_sd^2 and every coefficient prior standard deviation prior_sd.
Source: Gelman et al. (2013), section 14.2; Bierman (1977), chapter V; Wilson & Hilferty (1931).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, choose, namespace
from policies.base import Belief, Choice, Decision, Feedback, Question, Spec
from policies.draws import normal_draws
from policies.features import basis, lift, n_features
from policies.joint import Row, absorb, look, need_shared, posterior
from policies.linear import LinearParams, SharedState, linear_model

__all__ = ["NigModel", "NigParams", "NigState", "nig_model", "noise_variance", "student_factors"]


@dataclass(frozen=True)
class NigParams(LinearParams):
    """The linear belief's numbers; `noise_sd` is a first guess, worth `noise_weight` evaluations."""

    features: str = field(default="shared", metadata={"choices": ("shared",), "static": True})
    noise_weight: float = field(
        default=6.0, metadata={"ge": 6.0, "le": 1e6, "unit": "evaluations that the guess of the noise is worth"}
    )


class NigState(NamedTuple):
    """theta (p,), root (p, p) of V, and () shape and () rate of the inverse gamma over the noise variance."""

    theta: Array
    root: Array
    shape: Array
    rate: Array


class NigModel(NamedTuple):
    """`init`, `belief`, `update` and `outlook`, as in `policies.base.Policy`."""

    init: Callable[[NigParams], NigState]
    belief: Callable[[NigParams, NigState, Question, Array], Belief]
    update: Callable[[NigParams, NigState, Decision, Choice, Feedback], NigState]
    outlook: Callable[[NigParams, NigState, Question], Array]


def noise_variance(state: NigState) -> Array:
    """() posterior mean of the reward's noise variance, reward squared."""
    return state.rate / (state.shape - 1.0)


@cache
def _levels(n_draws: int) -> NDArray[np.float64]:
    """(n_draws,) standard normal quantiles of the strata's middles; opposite draws share theirs."""
    half = n_draws // 2
    order = np.argsort(np.argsort((np.arange(1, half + 1) ** 2 * math.e) % 1.0))
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / half) for i in range(half)])
    return np.tile(quantiles[order], 2)


def student_factors(degrees: Array, n_draws: int) -> Array:
    """What turns Gaussian draws of the right spread into Student-t draws of that spread.

    (n_draws,) values of sqrt(degrees / chi2), scaled so that their squares average to 1. The chi2 are
    quantiles by Wilson & Hilferty's cube at the middles of equal strata, in the order of s^2 e mod 1
    (plain multiples resonate with the normals' own, squares do not: measured in the tests); a draw and
    its opposite share one, which keeps the draws' mean exact.

    Args:
        degrees: () degrees of freedom, at least 6: the cube's error in probability is then below 0.0022.
        n_draws: even.
    """
    xp = namespace(degrees)
    levels = xp.astype(xp.asarray(_levels(n_draws)), degrees.dtype)
    small = 2.0 / (9.0 * degrees)
    cube = 1.0 - small + levels * xp.sqrt(small)
    inverse = 1.0 / (cube * cube * cube)
    return xp.sqrt(inverse / xp.mean(inverse))


@cache
def nig_model(spec: Spec) -> NigModel:
    """The belief over phi with its noise variance unknown; equal specs give the same object."""
    need_shared(spec)
    gaussian = linear_model(spec)

    def init(params: NigParams) -> NigState:
        p, shape = n_features(spec), params.noise_weight / 2.0
        rate = (shape - 1.0) * params.noise_sd * params.noise_sd
        zero = 0.0 * params.prior_sd
        root = np.eye(p) * (params.prior_sd / params.noise_sd)
        return NigState(np.zeros(p) + zero, root, np.zeros(()) + shape, np.zeros(()) + rate)

    def belief(params: NigParams, state: NigState, question: Question, action_ids: Array) -> Belief:
        xp = namespace(state.root)
        context = xp.mean(question.contexts, axis=0)
        columns = lift(spec, context, question.task, xp.concat([state.theta[:, None], state.root], axis=1))
        normals = xp.astype(xp.asarray(normal_draws(n_features(spec), spec.n_draws)), state.root.dtype)
        return posterior(
            basis(spec, action_ids, like=state.root),
            columns[:, 0],
            columns[:, 1:] * xp.sqrt(noise_variance(state)),
            centre=params.prior_mean,
            noise=normals * student_factors(2.0 * state.shape, spec.n_draws)[None, :],
        )

    def update(params: NigParams, state: NigState, decision: Decision, choice: Choice, feedback: Feedback) -> NigState:
        xp = namespace(state.theta)
        held = SharedState(state.theta, state.root)
        seen = look(spec, held, Row(decision.features, decision.task, choice.action_id))
        target = xp.where(feedback.valid, feedback.reward, 0.0) - params.prior_mean
        gap, spread = target - seen.expected, 1.0 + xp.sum(seen.factor * seen.factor)
        after = absorb(held, seen, target=target, weight=1.0)
        new = NigState(after.theta, after.root, state.shape + 0.5, state.rate + 0.5 * gap * gap / spread)
        return choose(feedback.valid, new, state)

    def outlook(params: NigParams, state: NigState, question: Question) -> Array:
        assert gaussian.outlook is not None
        return gaussian.outlook(params, SharedState(state.theta, state.root), question)

    return NigModel(init, belief, update, outlook)
