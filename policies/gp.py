"""A Gaussian process over the lattice, as a Bayesian linear model of its best few features.

The kernel is a product of Matern-5/2 kernels, one per axis, over places in [0, 1]. Each axis's
kernel matrix is decomposed once, in float64; the products of eigenvectors with the RANK
largest products of eigenvalues are the features: of all features of that number, those that lose
the least of the kernel over the lattice (Eckart & Young), and none is random. A lattice of at most RANK
points loses nothing. A task type has its own process beside one that all share, an intercept, and a
linear effect of the context; the update is Potter's, so its cost does not grow with the rows.
Source: Rasmussen & Williams (2006), sections 2.1, 4.2.1 and 8.1; Bierman (1977), chapter V.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, choose, namespace
from policies.base import Belief, Choice, Decision, Feedback, Question, Spec
from policies.draws import normal_draws
from policies.joint import Seen, absorb, posterior
from policies.linear import SharedState

__all__ = ["RANK", "GpModel", "GpNumbers", "GpParams", "axis_tables", "gp_model", "matern", "numbers"]

RANK = 48  # features of one process, at most
EARLY = 2  # axes whose products are one table; the other axes make a second
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GpParams:
    """The prior of the process and of what stands beside it, and the reward's noise."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    prior_mean: float = field(default=0.2, metadata={"ge": -100.0, "le": 100.0, "unit": "reward before any data"})
    prior_sd: float = field(default=0.3, metadata={"gt": 0.0, "le": 100.0, "unit": "reward, intercepts and context"})
    amplitude: float = field(default=0.3, metadata={"gt": 0.0, "le": 100.0, "unit": "reward, of the process"})
    shared: float = field(default=0.5, metadata={"ge": 0.0, "le": 1.0, "unit": "share of its variance that is common"})
    noise_sd: float = field(default=0.25, metadata={"gt": 0.0, "le": 100.0, "unit": "reward around its expectation"})
    length_temperature: float = field(default=0.3, metadata={"gt": 0.0, "le": 1e3, "unit": "share of the axis's range"})
    length_max_tokens: float = field(default=0.4, metadata={"gt": 0.0, "le": 1e3, "unit": "share of the axis's range"})
    length_others: float = field(default=1.5, metadata={"gt": 0.0, "le": 1e3, "unit": "share of the axis's range"})
    features: str = field(default="shared", metadata={"choices": ("shared",), "static": True})
    n_draws: int = field(default=64, metadata={"ge": 2, "le": 4096, "static": True, "unit": "posterior draws, even"})


class GpNumbers(NamedTuple):
    """`GpParams` on a lattice; a caller's own number rides along in `width`.

    Attributes:
        floor: () share of uniform exploration.
        prior_mean: () reward.
        precision: () of an observation, 1 / reward squared.
        scale: (p,) prior standard deviation of every coefficient.
        early: (points, 1 + rank) of the first axes, the features' factors at every combination of their values.
        late: (points, 1 + rank) of the other axes; the first column of both is 1, for the intercept.
        width: (2,) what the acquisition needs.
    """

    floor: Array
    prior_mean: Array
    precision: Array
    scale: Array
    early: Array
    late: Array
    width: Array


class GpModel(NamedTuple):
    """`init`, `belief`, `update` and `outlook`, as in `policies.base.Policy`."""

    init: Callable[[GpNumbers], SharedState]
    belief: Callable[[GpNumbers, SharedState, Question, Array], Belief]
    update: Callable[[GpNumbers, SharedState, Decision, Choice, Feedback], SharedState]
    outlook: Callable[[GpNumbers, SharedState, Question], Array]


def matern(distance: Floats, lengthscale: float) -> Floats:
    """Matern-5/2 correlation; any shape.

    >>> matern(np.array([0.0, 1.0]), 1.0).round(6)
    array([1.      , 0.523994])
    """
    r = math.sqrt(5.0) * distance / lengthscale
    return np.asarray((1.0 + r + r * r / 3.0) * np.exp(-r))


def _axis(places: tuple[float, ...], lengthscale: float) -> tuple[Floats, Floats]:
    """Eigenvalues of one axis's kernel, largest first, and eigenvectors with a positive first entry."""
    at = np.array(places)
    values, vectors = np.linalg.eigh(matern(np.abs(at[:, None] - at[None, :]), lengthscale))
    sign = np.where(vectors[0] < 0.0, -1.0, 1.0)
    return np.maximum(values[::-1], 0.0), (vectors * sign)[:, ::-1]


def _moving(spec: Spec) -> tuple[int, ...]:
    return tuple(i for i, size in enumerate(spec.shape) if size > 1)


def _rank(spec: Spec) -> int:
    return min(RANK, math.prod(spec.shape))


def axis_tables(spec: Spec, lengthscales: tuple[float, ...]) -> tuple[Floats, ...]:
    """Per moving axis, (values, rank): feature j of a lattice point is the product of its factors.

    Features times features, summed over j, is the kernel, up to what the rank leaves out.
    """
    parts = [_axis(spec.positions[i], lengthscales[i]) for i in _moving(spec)]
    product, chosen = np.ones(1), np.zeros((1, 0), np.int64)
    for values, _ in parts:
        every = (product[:, None] * values[None, :]).ravel()
        keep = np.argsort(-every, kind="stable")[: _rank(spec)]
        own = keep % len(values)
        product, chosen = every[keep], np.concatenate([chosen[keep // len(values)], own[:, None]], axis=1)
    return tuple(vectors[:, chosen[:, i]] * np.sqrt(values[chosen[:, i]]) for i, (values, vectors) in enumerate(parts))


def _blocks(spec: Spec) -> tuple[int, int]:
    """Rows before the context's (every task type's own), and with the context's."""
    own = spec.n_tasks * (1 + _rank(spec))
    return own, own + spec.d


def numbers(params: GpParams, spec: Spec, *, width: tuple[float, float] = (0.0, 0.0)) -> GpNumbers:
    """What a process needs to know of a lattice, as arrays."""
    rank, common = _rank(spec), params.shared if spec.n_tasks > 1 else 0.0
    own = np.concatenate([[params.prior_sd], np.full(rank, params.amplitude * math.sqrt(1.0 - common))])
    parts = [np.tile(own, spec.n_tasks), np.full(spec.d, params.prior_sd)]
    if spec.n_tasks > 1:
        parts.append(np.full(rank, params.amplitude * math.sqrt(common)))
    lengths = params.length_temperature, params.length_max_tokens
    tables = axis_tables(spec, (*lengths, *[params.length_others] * max(len(spec.shape) - 2, 0)))
    early, late = (_products(half, rank) for half in (tables[:EARLY], tables[EARLY:]))
    precision = np.float64(1.0 / params.noise_sd**2)
    floor, mean = np.float64(params.floor), np.float64(params.prior_mean)
    return GpNumbers(floor, mean, precision, np.concatenate(parts), early, late, np.array(width))


def _products(tables: tuple[Floats, ...], rank: int) -> Floats:
    """(points, 1 + rank): 1, then the features' factors at every combination of these axes' values."""
    rows = np.ones((1, rank))
    for table in tables:
        rows = (rows[:, None, :] * table[None, :, :]).reshape(-1, rank)
    return np.concatenate([np.ones((len(rows), 1)), rows], axis=1)


def _basis(own: GpNumbers, action_ids: Array, *, like: Array) -> Array:
    """(m, 1 + rank): 1, then the features of a process."""
    xp = namespace(like)
    early, late = (xp.astype(xp.asarray(table), like.dtype) for table in (own.early, own.late))
    n = late.shape[0]
    return xp.take(early, action_ids // n, axis=0) * xp.take(late, action_ids % n, axis=0)


def _lift(spec: Spec, question: Question, columns: Array) -> Array:
    """(1 + rank, c): what multiplies the basis, of anything (p, c) with a row per coefficient."""
    xp = namespace(columns)
    context = xp.mean(question.contexts, axis=0)
    first, main = _blocks(spec)
    own = xp.reshape(columns[:first, :], (spec.n_tasks, -1))
    place = xp.astype(xp.reshape(question.task, (1,)), xp.int64)
    picked = xp.reshape(xp.take(own, place, axis=0), (1 + _rank(spec), columns.shape[1]))
    top = picked[:1, :] + context[None, :] @ columns[first:main, :]
    rest = picked[1:, :] if spec.n_tasks == 1 else picked[1:, :] + columns[main:, :]
    return xp.concat([top, rest], axis=0)


@cache
def gp_model(spec: Spec) -> GpModel:
    """The process of every task type; equal specs give the same object."""

    def init(own: GpNumbers) -> SharedState:
        return SharedState(0.0 * own.scale, np.eye(own.scale.shape[0]) * own.scale)

    def belief(own: GpNumbers, state: SharedState, question: Question, action_ids: Array) -> Belief:
        xp = namespace(state.root)
        noise = xp.astype(xp.asarray(normal_draws(state.root.shape[0], spec.n_draws)), state.root.dtype)
        return posterior(
            _basis(own, action_ids, like=state.root),
            _lift(spec, question, state.theta[:, None])[:, 0],
            _lift(spec, question, state.root),
            centre=own.prior_mean,
            noise=noise,
        )

    def update(
        own: GpNumbers, state: SharedState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> SharedState:
        xp = namespace(state.theta)
        here = _basis(own, xp.reshape(choice.action_id, (1,)), like=state.theta)
        question = Question(decision.features[None, :], decision.task, decision.prices)
        columns = xp.concat([state.theta[:, None], state.root], axis=1)
        row = (here @ _lift(spec, question, columns))[0]
        target = xp.where(feedback.valid, feedback.reward, 0.0) - own.prior_mean
        return choose(feedback.valid, absorb(state, Seen(row[0], row[1:]), target=target, weight=own.precision), state)

    def outlook(own: GpNumbers, state: SharedState, question: Question) -> Array:
        xp = namespace(state.theta)
        slopes = _lift(spec, question, state.theta[:, None])[:, 0]
        early, late = (xp.astype(xp.asarray(table), slopes.dtype) for table in (own.early, own.late))
        heights = (early * slopes[None, :]) @ late.T  # two small tables in place of one over the lattice
        return own.prior_mean + xp.reshape(heights, (-1,))

    return GpModel(init, belief, update, outlook)
