"""Curves by temperature fitted to recorded answers: quality of calls that did not fail, and failure.

The formulae are the world's own (`envs.curves`). Few temperatures allow few free numbers:
of several forms, from flat to a cliff with an optimum, the one with the least misfit plus a
price per free number wins, and only forms with fewer free numbers than temperatures are
tried. What is not free keeps the preset's default. Rows are clustered by problem.
Source: Schwarz (1978) for the price, the logarithm of the number of problems.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.curves import Service, Task, failure, heat_of, quality
from envs.drift import Params as DriftParams
from envs.drift import Sizes
from experiments.calibration.fitting import Cells, cells_of, default_of, least, range_of, reweighted, shared_luck

__all__ = ["FAILURE", "QUALITY", "CurveFit", "CurveRows", "HeldOut", "curve_at", "fit_curve", "held_out", "some"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Numbers = Mapping[str, float]
LEAST_CUT = 20  # rows cut off, and rows not, before the loss by truncation is fitted
_STILL = Sizes(*(np.float64(getattr(DriftParams(), name)) for name in Sizes._fields))
_FACTORS = ("quality_factor", "cliff_width_factor")
_ONE_MODEL = Service(*(np.float64(name in _FACTORS) for name in Service._fields))
_ELSEWHERE = ("length_log_1", "length_log_2", "input_tokens")  # of a task, not of its type
_TASK = Task(*(np.float64(0.0 if name in _ELSEWHERE else default_of(name)) for name in Task._fields))


class CurveRows(NamedTuple):
    """n answers of one task type: (n,) each; `top_p` is 1 and `cut` is 0 where nothing was recorded."""

    y: Floats
    temperature: Floats
    top_p: Floats
    cut: Floats
    problem: Ints


def some(rows: CurveRows, use: NDArray[np.bool_]) -> CurveRows:
    """The answers where `use` (n,) holds."""
    return CurveRows(rows.y[use], rows.temperature[use], rows.top_p[use], rows.cut[use], rows.problem[use])


class Kind(NamedTuple):
    """A family of curves: its numbers, the forms to try (free numbers of each), the curve, where to begin."""

    names: tuple[str, ...]
    forms: tuple[tuple[str, ...], ...]
    held: Mapping[str, float]  # numbers that keep another value than the preset's default
    curve: Callable[[Numbers, Floats], Floats]
    starts: Callable[[Cells], list[dict[str, float]]]


class CurveFit(NamedTuple):
    """A fitted curve.

    Attributes:
        values: every number of the curve, fitted or held.
        stderr: of the fitted ones; NaN where one stands at an end of its range.
        free: names of the fitted ones.
        misfit: sum of squared, weighted residuals over the cells.
        cells: what was fitted.
    """

    values: Mapping[str, float]
    stderr: Mapping[str, float]
    free: tuple[str, ...]
    misfit: float
    cells: Cells


class HeldOut(NamedTuple):
    """How well one half of the problems foretells the other half's means; root mean squares, weighted by rows.

    Attributes:
        rmse: of the fitted curve.
        floor: what the other half's sampling error alone explains: nobody can be better for long.
        raw: of the first half's own means, no curve at all.
        constant: of the first half's overall mean.
        n_cells: means compared.
    """

    rmse: float
    floor: float
    raw: float
    constant: float
    n_cells: int


def curve_at(kind: Kind, numbers: Numbers, temperature: Floats) -> Floats:
    """The curve at temperatures (m,), top_p 1, nothing cut off."""
    plain = np.ones_like(temperature)
    return kind.curve(numbers, np.stack([temperature, plain, 0.0 * plain], axis=1))


def _task(numbers: Numbers) -> Task:
    """Numbers as the world's formulae want them; what they do not name is the preset's default."""
    return _TASK._replace(**{name: np.float64(x) for name, x in numbers.items()})


def _quality(numbers: Numbers, at: Floats) -> Floats:
    heat, zero = heat_of(at[:, 0], at[:, 1]), np.zeros(len(at))
    whole = quality(_task(numbers), _ONE_MODEL, _STILL, (heat, at[:, 1], zero, zero))
    return np.asarray(whole * (1.0 - numbers["truncation_loss"] * at[:, 2]))


def _failure(numbers: Numbers, at: Floats) -> Floats:
    return np.asarray(failure(_task(numbers), _STILL, at[:, 0]))


def _span(cells: Cells) -> tuple[float, float, float, float]:
    """Lowest and highest temperature and mean of the cells."""
    heat = cells.at[:, 0]
    return float(heat.min()), float(heat.max()), float(cells.mean.min()), float(cells.mean.max())


def _quality_starts(cells: Cells) -> list[dict[str, float]]:
    low, high, _, top = _span(cells)
    weighted = float(np.average(cells.mean, weights=cells.weight))
    steepest = _steepest(cells)
    begin = []
    for cliff in dict.fromkeys((steepest, 0.5 * (low + high), high, high + 0.5, 1.5)):
        for width in (0.05, 0.3):
            rest = {"truncation_loss": 0.5, "t_star": 0.5 * (low + high), "k_t": 0.05}
            begin.append({"q0": top if width < 0.1 else weighted, "cliff": cliff, "cliff_width": width} | rest)
    return [*begin, begin[0] | {"t_star": high, "k_t": 0.2, "q0": top}]


def _failure_starts(cells: Cells) -> list[dict[str, float]]:
    low, high, floor, top = _span(cells)
    begin = []
    for centre in dict.fromkeys((_steepest(cells), 0.5 * (low + high), high)):
        for width in (0.03, 0.2):
            begin.append({"failure_floor": floor, "failing": max(top, 0.5), "failure_centre": centre,
                          "failure_width": width})  # fmt: skip
    return begin


def _steepest(cells: Cells) -> float:
    """Middle of the neighbouring temperatures whose means differ most."""
    heat = np.unique(cells.at[:, 0])
    if len(heat) < 2:
        return float(heat[0])
    means = np.array(
        [np.average(cells.mean[cells.at[:, 0] == h], weights=cells.size[cells.at[:, 0] == h]) for h in heat]
    )
    at = int(np.argmax(np.abs(np.diff(means))))
    return float(heat[at] + heat[at + 1]) / 2.0


QUALITY = Kind(
    names=("q0", "cliff", "cliff_width", "t_star", "k_t", "truncation_loss"),
    forms=(
        ("q0",),
        ("q0", "cliff"),
        ("q0", "cliff", "cliff_width"),
        ("q0", "t_star", "k_t"),
        ("q0", "cliff", "cliff_width", "t_star", "k_t"),
    ),
    held={},
    curve=_quality,
    starts=_quality_starts,
)
FAILURE = Kind(
    names=("failure_floor", "failing", "failure_centre", "failure_width"),
    forms=(
        ("failure_floor",),
        ("failure_floor", "failure_centre", "failure_width"),
        ("failure_floor", "failing", "failure_centre", "failure_width"),
    ),
    held={"failing": 1.0},
    curve=_failure,
    starts=_failure_starts,
)


def _cells(rows: CurveRows) -> Cells:
    return cells_of(np.stack([rows.temperature, rows.top_p, rows.cut], axis=1), rows.y, rows.problem)


def fit_curve(kind: Kind, rows: CurveRows) -> CurveFit:
    """The best form of a family on some answers.

    Raises:
        ValueError: no row.
    """
    if not len(rows.y):
        raise ValueError("0 rows to fit a curve to, need at least 1")
    cells, n_heats = _cells(rows), len(np.unique(rows.temperature))
    loss = ("truncation_loss",) if "truncation_loss" in kind.names and _sees_cuts(rows.cut) else ()
    forms = [(*form, *loss) for i, form in enumerate(kind.forms) if not i or len(form) < n_heats]
    first = _fitted(kind, cells, forms[-1], rows=rows)
    cells = reweighted(cells, rows.y, kind.curve(first.values, cells.at))
    luck = shared_luck(cells, rows.y, rows.problem)
    fits = [_fitted(kind, cells, form, rows=rows) for form in forms]
    price = math.log(max(len(np.unique(rows.problem)), 8))
    return min(fits, key=lambda fit: fit.misfit / luck + price * len(fit.free))


def _sees_cuts(cut: Floats) -> bool:
    n_cut = int(np.sum(cut > 0))
    return LEAST_CUT <= n_cut <= len(cut) - LEAST_CUT


def _fitted(kind: Kind, cells: Cells, free: tuple[str, ...], *, rows: CurveRows) -> CurveFit:
    """One form: its numbers fitted, the others held."""
    held = {name: default_of(name) for name in kind.names} | (dict(kind.held) if len(free) > 1 else {})
    ranges = {name: range_of(name) for name in free}

    def curve(numbers: Numbers) -> Floats:
        return kind.curve({**held, **numbers}, cells.at)

    fit = least(curve, cells, ranges, starts=kind.starts(cells), rows=(rows.y, rows.problem))
    return CurveFit(held | dict(fit.values), fit.stderr, free, fit.misfit, cells)


def held_out(kind: Kind, rows: CurveRows, half: NDArray[np.bool_]) -> HeldOut:
    """Fit on one half of the problems, judge on the other half's means.

    Args:
        kind: family of curves.
        rows: n answers.
        half: (n,) rows to fit on; a problem's rows lie in one half.

    Raises:
        ValueError: a half has no row, or no cell of the other half has two problems.
    """
    fit = fit_curve(kind, some(rows, half))
    there = _cells(some(rows, ~half)) if np.any(~half) else None
    if there is None or not np.any(np.isfinite(there.stderr)):
        raise ValueError("no held-out mean of two or more problems, need more rows")
    use = np.isfinite(there.stderr)
    weight = there.size[use]
    gap = kind.curve(fit.values, there.at[use]) - there.mean[use]
    known = {tuple(at): mean for at, mean in zip(fit.cells.at.tolist(), fit.cells.mean, strict=True)}
    overall = float(np.average(fit.cells.mean, weights=fit.cells.size))
    raw = np.array([known.get(tuple(at), overall) for at in there.at[use].tolist()]) - there.mean[use]
    return HeldOut(
        rmse=_root(gap, weight),
        floor=_root(there.stderr[use], weight),
        raw=_root(raw, weight),
        constant=_root(overall - there.mean[use], weight),
        n_cells=int(use.sum()),
    )


def _root(gap: Floats, weight: Floats) -> float:
    return math.sqrt(float(np.average(gap**2, weights=weight)))
