"""What every fit shares: ranges of a preset's numbers, weighted cells, bounded least squares, clustered errors.

Rows with one setting are one cell: its mean, weighted by the inverse of its variance. The
solver is SciPy's trust-region least squares, from several starts; standard errors are the
sandwich's, clustered by problem, so repeated answers to one problem are not counted as news.
Source: White (1980); Liang & Zeger (1986), clustered sandwich; Agresti & Coull (1998), plus four.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from envs.population import TaskType

__all__ = [
    "Cells",
    "Fit",
    "Range",
    "cells_of",
    "clustered_errors",
    "default_of",
    "least",
    "log_sd",
    "range_of",
    "reweighted",
    "shared_luck",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEAR_END = 1e-7  # the solver stays inside its bounds by less than this
OPEN_END = 1e-3  # how far inside an open end of a range a fit may go
LEAST_LUCK = 0.2  # where few rows differ at all (rare failures), the estimate is not trusted further down
PRIOR_ROWS = 4.0  # at one half in every cell: a cell of equal answers is not exact


class Range(NamedTuple):
    """Ends of a number's range, both allowed."""

    low: float
    high: float


class Cells(NamedTuple):
    """m cells of n rows.

    Attributes:
        at: (m, settings) what the rows of a cell share.
        of: (n,) cell of each row.
        size: (m,) rows.
        mean: (m,).
        stderr: (m,) of the mean, clustered by problem, one cluster standing alone left NaN.
        weight: (m,) inverse variance of the mean, if all rows spread alike; see `reweighted`.
    """

    at: Floats
    of: Ints
    size: Floats
    mean: Floats
    stderr: Floats
    weight: Floats


class Fit(NamedTuple):
    """Free numbers that were fitted, and how well.

    Attributes:
        values: name -> number.
        stderr: name -> standard error; NaN where the number stands at an end of its range.
        misfit: sum of squared, weighted residuals; about the cells less the free numbers if all is well.
    """

    values: Mapping[str, float]
    stderr: Mapping[str, float]
    misfit: float


def range_of(name: str) -> Range:
    """The range a task type's number may have in a preset.

    >>> range_of("q0")
    Range(low=0.0, high=1.0)
    """
    rules = next(item for item in fields(TaskType) if item.name == name).metadata
    low = rules["ge"] if "ge" in rules else rules["gt"] + OPEN_END
    return Range(float(low), float(rules["le"] if "le" in rules else rules["lt"] - OPEN_END))


def default_of(name: str) -> float:
    """What a preset has for a task type's number that nobody gave."""
    return float(getattr(TaskType(), name))


def cells_of(at: Floats, y: Floats, problem: Ints) -> Cells:
    """Rows with equal settings put together.

    Args:
        at: (n, settings) settings of each row.
        y: (n,) what was measured.
        problem: (n,) cluster of each row.
    """
    settings, of = np.unique(at, axis=0, return_inverse=True)
    of, m = of.reshape(-1), len(settings)
    count = np.bincount(of, minlength=m).astype(np.float64)
    mean = np.bincount(of, weights=y, minlength=m) / count
    gap = y - mean[of]
    pooled = max(float(np.sum(gap**2)) / max(len(y) - m, 1), 1e-12)
    groups, group = np.unique(np.stack([of, problem], axis=1), axis=0, return_inverse=True)
    sums = np.bincount(group.reshape(-1), weights=gap)
    n_groups = np.bincount(groups[:, 0], minlength=m).astype(np.float64)
    spread = np.bincount(groups[:, 0], weights=sums**2, minlength=m)
    scale = np.where(n_groups > 1, n_groups / np.maximum(n_groups - 1, 1), np.nan)
    return Cells(settings, of, count, mean, np.sqrt(spread * scale) / count, count / pooled)


def reweighted(cells: Cells, y: Floats, expected: Floats) -> Cells:
    """The cells with weights for scores in [0, 1], whose variance goes with m (1 - m), m from a first fit.

    Args:
        cells: of n rows.
        y: (n,) what was measured.
        expected: (m,) first fit of the cells' means; drawn towards one half by four rows.
    """
    mean = (cells.size * np.clip(expected, 0.0, 1.0) + 0.5 * PRIOR_ROWS) / (cells.size + PRIOR_ROWS)
    largest = mean * (1.0 - mean)
    dispersion = float(np.sum((y - cells.mean[cells.of]) ** 2) / np.sum(cells.size * largest))
    return cells._replace(weight=cells.size / (max(dispersion, 1e-9) * largest))


def shared_luck(cells: Cells, y: Floats, problem: Ints) -> float:
    """By what factor the errors of cells' means, as far as they differ, lie below what `weight` says; 0.2..1.

    Cells that were answered for the same problems share those problems' luck: a row's variance between
    problems then moves all means together. 1 where cells share no problem, or no problem came twice.
    """
    gap, n = y - cells.mean[cells.of], len(y)
    _, group, count = np.unique(problem, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    spare = int(np.sum(count - 1))
    if not spare:
        return 1.0
    centre = np.bincount(group, weights=gap) / count
    within = float(np.sum((gap - centre[group]) ** 2)) / spare
    within = min(within / max(float(np.mean(gap**2)), 1e-12), 1.0)
    pairs, each = np.unique(np.stack([cells.of, group], axis=1), axis=0, return_counts=True)
    here, everywhere = each / cells.size[pairs[:, 0]], count / n
    moved = np.bincount(pairs[:, 0], weights=here**2 - 2.0 * here * everywhere[pairs[:, 1]], minlength=len(cells.size))
    own = np.clip(cells.size * (moved + np.sum(everywhere**2)), 0.0, 1.0)
    return float(np.clip(within + (1.0 - within) * np.mean(own), LEAST_LUCK, 1.0))


def least(
    curve: Callable[[Mapping[str, float]], Floats],
    cells: Cells,
    free: Mapping[str, Range],
    *,
    starts: Sequence[Mapping[str, float]],
    rows: tuple[Floats, Ints],
) -> Fit:
    """The curve nearest to the cells' means, the best of several starts.

    Args:
        curve: free numbers -> (m,) expected mean of each cell.
        cells: what was measured.
        free: name -> range of each number that may move.
        starts: numbers to begin from; what lies outside its range is moved inside.
        rows: (n,) measured, (n,) cluster, for the standard errors.
    """
    names, root = list(free), np.sqrt(cells.weight)
    low, high = (np.array([getattr(free[name], end) for name in names]) for end in ("low", "high"))

    def residuals(theta: Floats) -> Floats:
        return np.asarray((curve(dict(zip(names, theta.tolist(), strict=True))) - cells.mean) * root)

    best = None
    for start in starts:
        begin = np.clip([start[name] for name in names], low + 1e-9, high - 1e-9)
        found = least_squares(residuals, begin, bounds=(low, high), x_scale="jac", max_nfev=200)
        best = found if best is None or found.cost < best.cost else best
    assert best is not None
    gradient = best.jac / root[:, None]  # (m, p) of the curve
    end = np.where(best.x - low < NEAR_END, low, np.where(high - best.x < NEAR_END, high, best.x))
    errors = clustered_errors(gradient, cells, best.active_mask == 0, rows=rows)
    return Fit(
        dict(zip(names, end.tolist(), strict=True)),
        dict(zip(names, errors.tolist(), strict=True)),
        float(2.0 * best.cost),
    )


def clustered_errors(gradient: Floats, cells: Cells, inside: NDArray[np.bool_], *, rows: tuple[Floats, Ints]) -> Floats:
    """(p,) standard errors of fitted numbers; NaN where `inside` (p,) does not hold.

    Args:
        gradient: (m, p) of the cells' expected means.
        cells: what was fitted.
        inside: (p,) which numbers lie within their range.
        rows: as `least`.
    """
    y, problem = rows
    moving = gradient[:, inside]
    errors = np.full(gradient.shape[1], math.nan)
    if not moving.shape[1]:
        return errors
    bread = np.linalg.pinv(moving.T @ (moving * cells.weight[:, None]))
    each = (cells.weight / cells.size)[cells.of] * (y - cells.mean[cells.of])
    groups, group = np.unique(problem, return_inverse=True)
    scores = np.zeros((len(groups), moving.shape[1]))
    np.add.at(scores, group.reshape(-1), each[:, None] * moving[cells.of])
    scale = len(groups) / (len(groups) - 1) if len(groups) > 1 else math.nan
    errors[inside] = np.sqrt(np.maximum(scale * np.diag(bread @ (scores.T @ scores) @ bread), 0.0))
    return errors


def log_sd(relative: float) -> float:
    """SD of ln x of a log-normal whose SD is `relative` times its median.

    >>> round(log_sd(0.1), 4)
    0.0993
    """
    return math.sqrt(math.log((1.0 + math.sqrt(1.0 + 4.0 * relative**2)) / 2.0))
