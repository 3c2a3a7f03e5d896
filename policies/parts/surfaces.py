"""What is believed of quality before any data: two priors over surfaces.

`shapes`: a few thousand plausible shapes: a temperature cliff that top_p cools, a best
temperature, penalties with a best value, their numbers drawn wide; learning is exact Bayes
over them, each with a Gaussian amplitude. `plain`: a stationary kernel without opinion, as
a mean and a few features by pivoted Cholesky, so that quality = mean + features @ theta with
theta ~ N(0, I); unlike eigenvectors, pivoted columns have no signs or rotations that two
machines could choose differently.
Source: forms as `envs.curves`, ranges around the published ones in
research/convergence-surfaces.md; Harbrecht, Peters & Schneider (2012) for the factor.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prior", "Shapes", "plain", "shapes"]

Floats = NDArray[np.float64]
Axes = tuple[tuple[float, ...], ...]
SEED = 11
# Of the plain prior: quality's level, one curve along each axis (temperature, top_p, the penalties, models), and
# what is left between them; standard deviations and length scales.
LEVEL_SD, CURVE_SDS, CURVE_SCALES = 0.25, (0.25, 0.1, 0.25, 0.25, 0.15), (0.8, 0.5, 0.9, 0.9, 1.0)
REST_SD, REST_SCALES = 0.05, (0.6, 0.4, 1.0, 1.0, 1.0)


class Prior(NamedTuple):
    """(Q,) mean and (Q, D) features over the points of all axes but max_tokens, row-major."""

    mean: Floats
    features: Floats


def _grid(axes: Axes) -> Floats:
    """(Q, 5): temperature, top_p, frequency and presence penalty, model."""
    return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)


def _kernel(points: Floats, scales: tuple[float, ...]) -> Floats:
    gap = (points[:, None, :] - points[None, :, :]) / np.array(scales)
    return np.asarray(np.exp(-0.5 * (gap**2).sum(axis=-1)))


def _factor(covariance: Floats, rank: int) -> Floats:
    """(Q, rank) pivoted Cholesky columns: the largest remaining variance first."""
    left, columns = np.diag(covariance).copy(), np.zeros((len(covariance), rank))
    for i in range(min(rank, len(covariance))):
        pivot = int(np.argmax(left))
        if left[pivot] <= 1e-12:
            break
        column = (covariance[:, pivot] - columns[:, :i] @ columns[pivot, :i]) / np.sqrt(left[pivot])
        columns[:, i] = column
        left = np.maximum(left - column**2, 0.0)
    return columns


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))))


class Shapes(NamedTuple):
    """N surfaces as sums of three curves each: (N, C) table, and (3, Q) the columns that a point adds up."""

    table: Floats
    columns: NDArray[np.int64]  # as a traced graph gathers


@lru_cache(maxsize=32)
def shapes(axes: Axes, count: int) -> Shapes:
    """Plausible shapes of the quality surface, each up to its own amplitude.

    A curve over temperature, top_p and model, and one for each penalty: additive, so that a mean over
    all shapes costs a few columns instead of every point.

    Args:
        axes: values of temperature, top_p, frequency and presence penalty, and model places.
        count: hypotheses.
    """
    temperature, top_p, frequency, presence, models = axes
    rng = np.random.Generator(np.random.Philox(SEED))
    t, p, m = (part.ravel()[:, None] for part in np.meshgrid(temperature, top_p, models, indexing="ij"))
    f, r = np.array(frequency)[:, None], np.array(presence)[:, None]

    def evenly() -> Floats:  # a Latin hypercube: every number's own distribution is met exactly
        return np.asarray((rng.permutation(count) + 0.5) / count)[None, :]

    def between(low: float, high: float) -> Floats:
        return low + (high - low) * evenly()

    def some(share: float, high: float) -> Floats:
        return np.maximum(evenly() - (1.0 - share), 0.0) * high / share

    cooled = between(0.3, 1.0) * (1.0 - p) ** between(0.4, 1.4)
    heat = t * (1.0 - cooled * _sigmoid((between(1.0, 1.6) - t) / between(0.05, 0.4)))
    cliff, width = between(0.9, 2.8), np.exp(between(np.log(0.04), np.log(0.45)))
    made = _sigmoid((cliff - heat) / width) / _sigmoid(cliff / width)
    best = 2.0 * (1.0 - np.sqrt(between(0.0, 1.0)))  # anywhere on the axis, the cooler the likelier
    made = np.maximum(made - some(0.6, 0.6) * (heat - best) ** 2, 0.0)
    factor = 1.0 + 0.3 * rng.standard_normal((max(len(models) - 1, 1), count))  # of every model after the first
    made = made * np.where(m > 0, factor[np.maximum(m[:, 0].astype(np.int64) - 1, 0)], 1.0)
    bent = [-some(0.8, 0.15) * (x - between(-0.4, 0.8)) ** 2 for x in (f, r)]
    sizes = [len(axis) for axis in axes]
    a, b, c, d, e = (part.ravel() for part in np.indices(sizes))
    first = (a * sizes[1] + b) * sizes[4] + e
    columns = np.stack([first, len(made) + c, len(made) + sizes[2] + d])
    return Shapes(np.ascontiguousarray(np.concatenate([made, *bent]).T), columns.astype(np.int64))


@lru_cache(maxsize=32)
def plain(axes: Axes, rank: int) -> Prior:
    """The prior without opinion; `axes` as in `shapes`, `rank` features."""
    points = _grid(axes)
    covariance = LEVEL_SD**2 + REST_SD**2 * _kernel(points, REST_SCALES)
    for axis, (sd, scale) in enumerate(zip(CURVE_SDS, CURVE_SCALES, strict=True)):
        covariance = covariance + sd**2 * _kernel(points[:, [axis]], (scale,))
    return Prior(np.full(len(points), 0.5), _factor(covariance, rank))
