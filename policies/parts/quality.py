"""What is believed of the quality of answers: exact Bayes over shapes, hedged by a plain prior.

A shape is a quality surface up to its amplitude, which is Gaussian given the shape, so each
hypothesis keeps two numbers. The plain belief is Gaussian over kernel features. Evidence
weighs the two, and never gives either up. An answer that was cut off keeps a share of its
quality, learned as well; the scatter of grades around m, as a multiple of m (1 - m), is
estimated, never given.
"""

from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace, sigmoid
from policies.draws import normal_draws
from policies.parts.sampling import STEPS, constant, even, first_above, row_of
from policies.parts.surfaces import plain, shapes

__all__ = [
    "Answer",
    "Quality",
    "QualitySettings",
    "QualityTables",
    "forgot",
    "learned",
    "means",
    "sampled",
    "start",
    "tables",
]

KEPT = 0.15  # of the quality of a whole answer, an answer that was cut off keeps a priori
LEAST = 0.06  # of m (1 - m): graded answers near 0 or 1 still vary
MOST_EVIDENCE = 2.0  # nats that one answer may say for either belief
MOST_ODDS = 6.0  # nats between them: neither is ever given up


class QualitySettings(NamedTuple):
    """Numbers of the belief; as the fields of `policies.learners.decomposed.Params`."""

    hedge: float
    scatter: float
    guesses: float
    kept_sd: float
    amplitude: float
    amplitude_sd: float
    trust: float


class QualityTables(NamedTuple):
    """What learning needs of a lattice whose points without max_tokens are Q; N shapes, D features.

    Attributes:
        shapes: (N, C) table of curves, by_curve: (C, N) the same; columns: (3, Q) those that a point adds up.
        amplitude: (2,) prior precision of an amplitude, and precision times mean.
        drawn: (Q, 2) mean and variance of quality over shapes and amplitudes, before any data.
        base: (Q,) mean of the plain belief, features: (Q, D).
        odds: () log prior odds of the shapes.
        scatter: (2,) observations that the first guess is worth, and that number times the guess.
        kept: (2,) precision of the share that cut-off answers keep, and precision times mean.
        trust: () power of the shapes' likelihood.
    """

    shapes: Array
    by_curve: Array
    columns: Array
    amplitude: Array
    drawn: Array
    base: Array
    features: Array
    odds: Array
    scatter: Array
    kept: Array
    trust: Array


class Quality(NamedTuple):
    """The belief about one task type.

    Attributes:
        precision: (N,) of each shape's amplitude; moment: (N,) precision times mean.
        theta: (D,) coefficients of the plain belief; root: (D, D) of their covariance.
        kept: (2,) as in `QualityTables`.
        odds: () log odds of the shapes over the plain belief.
        scatter: (2,) observations and sum of var / m (1 - m).
    """

    precision: Array
    moment: Array
    theta: Array
    root: Array
    kept: Array
    odds: Array
    scatter: Array


class Answer(NamedTuple):
    """One graded answer: () point of the surface, grade, 1.0 where it was cut off."""

    point: Array
    grade: Array
    cut: Array


def tables(axes: tuple[tuple[float, ...], ...], settings: QualitySettings, *, count: int, rank: int) -> QualityTables:
    """The tables of a lattice.

    Args:
        axes: values of temperature, top_p, frequency and presence penalty, and model places.
        settings: numbers of the belief.
        count: shapes.
        rank: features of the plain belief.
    """
    drawn, own, spread = shapes(axes, count), settings, plain(axes, rank)
    whole = drawn.table[:, drawn.columns].sum(axis=1)
    mean, square = whole.mean(axis=0), (whole**2).mean(axis=0)
    variance = square * (own.amplitude**2 + own.amplitude_sd**2) - (own.amplitude * mean) ** 2
    return QualityTables(
        shapes=drawn.table,
        by_curve=np.ascontiguousarray(drawn.table.T),
        columns=drawn.columns,
        amplitude=own.amplitude_sd**-2.0 * np.array([1.0, own.amplitude]),
        drawn=np.stack([own.amplitude * mean, variance], axis=1),
        base=spread.mean,
        features=spread.features,
        odds=np.float64(np.log((1.0 - own.hedge) / own.hedge)),
        scatter=own.guesses * np.array([1.0, own.scatter]),
        kept=own.kept_sd**-2.0 * np.array([1.0, KEPT]),
        trust=np.float64(own.trust),
    )


def start(held: QualityTables, n: int) -> Quality:
    """The belief about n task types before any data, leading axis n."""
    count, d = held.shapes.shape[0], held.features.shape[1]
    return Quality(
        precision=held.amplitude[0] + np.zeros((n, count)),
        moment=held.amplitude[1] + np.zeros((n, count)),
        theta=np.zeros((n, d)),
        root=np.tile(np.eye(d), (n, 1, 1)),
        kept=held.kept + np.zeros((n, 1)),
        odds=held.odds + np.zeros(n),
        scatter=held.scatter + np.zeros((n, 1)),
    )


def _weights(own: Quality) -> tuple[Array, Array]:
    """(N,) log posterior weight of each shape, not normalised, and () log of their sum."""
    xp = namespace(own.moment)
    weight = 0.5 * (own.moment * own.moment / own.precision - xp.log(own.precision))
    top = xp.max(weight)
    return weight, xp.log(xp.sum(xp.exp(weight - top))) + top


def means(held: QualityTables, own: Quality) -> tuple[Array, Array]:
    """(Q,) posterior mean of the quality of whole answers, and () of the share that cut-off ones keep."""
    xp, w = namespace(own.theta), sigmoid(own.odds)
    weight, total = _weights(own)
    curves = (xp.exp(weight - total) * own.moment / own.precision) @ held.shapes
    shaped = sum(xp.take(curves, held.columns[i, ...], axis=0) for i in range(3))
    flat = held.base + held.features @ own.theta
    return w * shaped + (1.0 - w) * flat, own.kept[1] / own.kept[0]


def sampled(held: QualityTables, own: Quality, point: Array, *, n_draws: int) -> tuple[Array, Array]:
    """Joint draws from fixed numbers: (m, r) quality at points (m,), (r,) share that cut-off answers keep."""
    xp, d = namespace(own.theta), own.theta.shape[0]
    noise = constant(own.theta, normal_draws(d + 2, n_draws))
    split, pick = (constant(own.theta, even(n_draws, step)) for step in (STEPS[0], STEPS[2]))
    weight, total = _weights(own)
    which = first_above(xp.cumulative_sum(xp.exp(weight - total)), pick)
    precision, moment = xp.take(own.precision, which, axis=0), xp.take(own.moment, which, axis=0)
    amplitude = moment / precision + noise[d, :] / xp.sqrt(precision)
    curves = xp.take(held.shapes, which, axis=0).T  # (C, r)
    columns = xp.take(held.columns, point, axis=1)
    shaped = sum(xp.take(curves, columns[i, ...], axis=0) for i in range(3)) * amplitude[None, :]
    theta = own.theta[:, None] + own.root @ noise[:d, :]
    flat = xp.take(held.base, point, axis=0)[:, None] + xp.take(held.features, point, axis=0) @ theta
    kept = xp.clip(own.kept[1] / own.kept[0] + noise[d + 1, :] / xp.sqrt(own.kept[0]), 0.0, 1.0)
    return xp.where((split < sigmoid(own.odds))[None, :], shaped, flat), kept


def _density(gap: Array, variance: Array) -> Array:
    """Gaussian log density up to its constant."""
    return -0.5 * (gap * gap / variance + namespace(gap).log(variance))


def _either(w: Array, one: Array, two: Array) -> Array:
    """Log of a mixture of two log densities."""
    xp = namespace(w)
    top = xp.maximum(one, two)
    return xp.log(w * xp.exp(one - top) + (1.0 - w) * xp.exp(two - top)) + top


class _Before(NamedTuple):
    """What both beliefs say of an answer before they learn from it, () each but the row (N,) of the shapes."""

    row: Array
    features: Array
    keep: Array
    whole: Array
    expected: Array
    shape: Array
    noise: Array


def _before(held: QualityTables, own: Quality, answer: Answer) -> _Before:
    xp = namespace(own.theta)
    row = sum(row_of(held.by_curve, held.columns[i, answer.point]) for i in range(3))
    features = xp.take(held.features, answer.point, axis=0)
    weight, total = _weights(own)
    shaped = xp.sum(xp.exp(weight - total) * own.moment / own.precision * row)
    w = sigmoid(own.odds)
    whole = w * shaped + (1.0 - w) * (held.base[answer.point] + xp.sum(features * own.theta))
    keep = 1.0 - (1.0 - own.kept[1] / own.kept[0]) * answer.cut
    shape = xp.clip(keep * whole * (1.0 - keep * whole), LEAST, 0.25)
    noise = shape * own.scatter[1] / own.scatter[0] + answer.cut * whole * whole / own.kept[0]
    return _Before(row, features, keep, whole, keep * whole, shape, noise)


def _shaped(held: QualityTables, own: Quality, answer: Answer, before: _Before) -> tuple[Quality, Array]:
    """The shapes after an answer, and the log density that they had given it."""
    xp, x = namespace(own.theta), before.row * before.keep
    weight, total = _weights(own)
    each = (
        weight - total + _density(answer.grade - x * own.moment / own.precision, x * x / own.precision + before.noise)
    )
    top, power = xp.max(each), held.trust / before.noise
    said = xp.log(xp.sum(xp.exp(each - top))) + top
    return own._replace(
        precision=own.precision + power * x * x, moment=own.moment + power * x * answer.grade
    ), said  # fmt: skip


def _flat(held: QualityTables, own: Quality, answer: Answer, before: _Before) -> tuple[Quality, Array]:
    """The plain belief after an answer (Potter's square-root step, Bierman 1977), and the log density it had given."""
    xp, x = namespace(own.theta), before.features * before.keep
    f = x @ own.root
    spread = xp.sum(f * f)
    gap = answer.grade - held.base[answer.point] * before.keep - xp.sum(x * own.theta)
    alpha = 1.0 / (spread + before.noise)
    gain = own.root @ f
    shrink = alpha / (1.0 + xp.sqrt(alpha * before.noise))
    after = own._replace(theta=own.theta + alpha * gap * gain, root=own.root - shrink * gain[:, None] * f[None, :])
    return after, _density(gap, spread + before.noise)


def learned(held: QualityTables, own: Quality, answer: Answer) -> tuple[Quality, Array]:
    """The belief after a graded answer, and nats in favour of starting afresh: log Bayes factor of the prior.

    Args:
        held: tables of the lattice.
        own: belief about the answer's task type.
        answer: what came back.
    """
    xp, before, w = namespace(own.theta), _before(held, own, answer), sigmoid(own.odds)
    after, shaped = _shaped(held, own, answer, before)
    after, flat = _flat(held, after, answer, before)
    drawn, x = held.drawn[answer.point] * before.keep, before.features * before.keep
    base = held.base[answer.point] * before.keep
    afresh = _either(
        w,
        _density(answer.grade - drawn[0], drawn[1] * before.keep + before.noise),
        _density(answer.grade - base, xp.sum(x * x) + before.noise),
    )
    ratio, told = (answer.grade - before.expected) ** 2 / before.shape, answer.cut * before.whole / before.noise
    whole = 1.0 - answer.cut
    moved = after._replace(
        kept=own.kept + xp.stack([told * before.whole, told * answer.grade]),
        odds=xp.clip(own.odds + xp.clip(shaped - flat, -MOST_EVIDENCE, MOST_EVIDENCE), -MOST_ODDS, MOST_ODDS),
        scatter=own.scatter + xp.stack([whole, ratio * whole]),
    )
    return moved, afresh - _either(w, shaped, flat)


def forgot(held: QualityTables, own: Quality, remembered: Array) -> Quality:
    """The belief after a change: a share of the evidence on shapes; the plain mean, most of its prior's spread."""
    xp = namespace(own.theta)
    wide = xp.sqrt(1.0 - remembered)
    return own._replace(
        precision=remembered * own.precision + (1.0 - remembered) * held.amplitude[0],
        moment=remembered * own.moment + (1.0 - remembered) * held.amplitude[1],
        root=wide * constant(own.root, np.eye(own.root.shape[0])),
    )
