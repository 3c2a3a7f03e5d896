"""Everything that one task type's recorded answers say about a preset: curves, lengths, difficulty.

Each part is fitted to the rows that speak of it, then once more to one random half of the
problems and judged on the other half. A part without data is None and keeps the preset's
default. Calls that failed tell of failure alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.fit_latency import Latency, fit_latency
from experiments.calibration.fit_length import (
    LengthRows,
    Mixture,
    Runaway,
    apart,
    distance,
    fit_mixture,
    fit_runaway,
)
from experiments.calibration.fit_noise import Difficulty, NoiseKind, fit_difficulty, fit_spread, kind_of
from experiments.calibration.fit_quality import (
    FAILURE,
    QUALITY,
    CurveFit,
    CurveRows,
    HeldOut,
    Kind,
    curve_at,
    fit_curve,
    held_out,
)
from experiments.calibration.outcome_table import Outcomes

__all__ = ["CurvePart", "LengthPart", "TaskFit", "WorldFit", "fit_world"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEAST_PROBLEMS = 4  # in all, before a half is held out
PLATEAU = 0.9  # of the curve's best: where answers at different temperatures count as repeated


class CurvePart(NamedTuple):
    """A curve by temperature, its rows, and how it does on held-out problems (None: too few)."""

    rows: CurveRows
    fit: CurveFit
    held: HeldOut | None


class LengthPart(NamedTuple):
    """Lengths of one task type.

    Attributes:
        rows: the answers' lengths.
        runaway: step of the mean over temperature.
        mixtures: of one and of two components.
        chosen: the one the preset gets.
        distances: Kolmogorov distance of each mixture on held-out answers; empty if too few.
        halves: distance between the two halves themselves, 0 if too few.
        n_problems: of the half that was fitted and of the one held out.
        n_held: held-out answers.
        n_empty: answers of 0 tokens, left out.
    """

    rows: LengthRows
    runaway: Runaway
    mixtures: tuple[Mixture, ...]
    chosen: Mixture
    distances: tuple[float, ...]
    halves: float
    n_problems: tuple[int, int]
    n_held: int
    n_empty: int


class TaskFit(NamedTuple):
    """One task type: None where nothing was recorded."""

    name: str
    n_rows: int
    n_problems: int
    quality: CurvePart | None
    failure: CurvePart | None
    length: LengthPart | None
    difficulty: Difficulty | None
    prompt_tokens: int | None


class WorldFit(NamedTuple):
    """All task types, and what they share: the kind of noise, its spread (graded), the service's latency."""

    tasks: tuple[TaskFit, ...]
    noise: NoiseKind | None
    spread: float | None
    latency: Latency | None


def fit_world(table: Outcomes, *, split_seed: int, advance: Callable[[int], None] = lambda _: None) -> WorldFit:
    """Fit every part of every task type.

    Args:
        table: the answers.
        split_seed: which random half of the problems is held out.
        advance: told of each task type that is done.

    Raises:
        ValueError: nothing can be fitted (no task type has a part with data).
    """
    worked = ~(table.parts["failure"] > 0)
    scores = table.parts["quality"][worked]
    scores = scores[np.isfinite(scores) & np.isfinite(table.parts["temperature"][worked])]
    noise = kind_of(scores) if scores.size else None
    half = _half(table, split_seed)
    tasks = []
    for i in range(len(table.tasks)):
        tasks.append(_task(table, i, noise, half=half))
        advance(1)
    if (
        not any(part is not None for one in tasks for part in (one.quality, one.length))
        and "latency_ms" not in table.given
    ):
        raise ValueError(f"no task type of {table.source} has a quality at a temperature or a length, need one of them")
    known = [one.difficulty for one in tasks if one.difficulty is not None]
    spread = fit_spread(known) if known and noise is not None and noise.kind == "graded" else None
    timed = worked & np.isfinite(table.parts["latency_ms"]) & np.isfinite(table.parts["output_tokens"])
    latency = fit_latency(table.parts["output_tokens"][timed], table.parts["latency_ms"][timed])
    return WorldFit(tuple(tasks), noise, spread, latency)


def _half(table: Outcomes, seed: int) -> Bools:
    """(r,) rows to fit on, half of every task type's problems."""
    rng, half = np.random.default_rng(seed), np.zeros(len(table.task), np.bool_)
    for i in range(len(table.tasks)):
        here = np.flatnonzero(table.task == i)
        problems, place = np.unique(table.problem[here], return_inverse=True)
        half[here] = (rng.permutation(len(problems)) < (len(problems) + 1) // 2)[place.reshape(-1)]
    return half


def _task(table: Outcomes, i: int, noise: NoiseKind | None, *, half: Bools) -> TaskFit:
    mine = table.task == i
    worked = mine & ~(table.parts["failure"] > 0)
    quality = _curve(QUALITY, table, "quality", worked, half=half)
    failure = _curve(FAILURE, table, "failure", mine, half=half)
    asked = table.parts["input_tokens"][worked]
    asked = asked[np.isfinite(asked) & (asked >= 1)]
    return TaskFit(
        name=table.tasks[i],
        n_rows=int(mine.sum()),
        n_problems=len(np.unique(table.problem[mine])),
        quality=quality,
        failure=failure,
        length=_length(table, worked, half),
        difficulty=_difficulty(quality, noise) if quality is not None and noise is not None else None,
        prompt_tokens=int(np.rint(np.median(asked))) if asked.size else None,
    )


def _curve(kind: Kind, table: Outcomes, part: str, use: Bools, *, half: Bools) -> CurvePart | None:
    use = use & np.isfinite(table.parts[part]) & np.isfinite(table.parts["temperature"])
    if not use.any():
        return None
    rows = CurveRows(
        y=table.parts[part][use],
        temperature=table.parts["temperature"][use],
        top_p=np.nan_to_num(table.parts["top_p"][use], nan=1.0),
        cut=np.nan_to_num(table.parts["truncated"][use]) if part == "quality" else np.zeros(int(use.sum())),
        problem=table.problem[use],
    )
    enough = min(len(np.unique(rows.problem[side])) for side in (half[use], ~half[use])) >= LEAST_PROBLEMS // 2
    return CurvePart(rows, fit_curve(kind, rows), held_out(kind, rows, half[use]) if enough else None)


def _difficulty(part: CurvePart, noise: NoiseKind) -> Difficulty:
    cells = part.fit.cells
    curve = curve_at(QUALITY, part.fit.values, cells.at[:, 0])
    plateau = (curve >= PLATEAU * float(curve.max())) & (cells.at[:, 2] <= 0)
    return fit_difficulty(cells, part.rows.y, part.rows.problem, noise=noise, plateau=plateau)


def _length(table: Outcomes, use: Bools, half: Bools) -> LengthPart | None:
    tokens = table.parts["output_tokens"]
    use = use & np.isfinite(tokens)
    empty = use & (tokens <= 0)
    use = use & ~empty
    is_cut = (table.parts["truncated"] > 0) | (tokens >= table.parts["max_tokens"])
    if int(np.sum(use & ~is_cut)) < 2:
        return None
    half_unit = 0.5 * table.unit if table.is_whole else 0.5e-3 * float(np.median(tokens[use]))
    rows = LengthRows(tokens[use], is_cut[use], table.parts["temperature"][use], half_unit)
    runaway = fit_runaway(rows)
    mixtures = tuple(fit_mixture(rows, components=n, runaway=runaway) for n in (1, 2))
    distances, halves = _distances(rows, half[use])
    n_problems = tuple(len(np.unique(table.problem[use & side])) for side in (half, ~half))
    is_two = _needs_two(mixtures, sum(n_problems))
    return LengthPart(
        rows=rows,
        runaway=runaway,
        mixtures=mixtures,
        chosen=mixtures[int(is_two)],
        distances=distances,
        halves=halves,
        n_problems=(n_problems[0], n_problems[1]),
        n_held=int(np.sum(~half[use])),
        n_empty=int(empty.sum()),
    )


def _needs_two(mixtures: Sequence[Mixture], n_problems: int) -> bool:
    """Whether a second component pays for its three numbers (Schwarz 1978), with a problem's answers as one.

    Held-out answers have no say: they judge the choice.
    """
    gain = 2.0 * (mixtures[1].log_likelihood - mixtures[0].log_likelihood) * n_problems / mixtures[0].n
    return gain > 3.0 * math.log(n_problems)


def _distances(rows: LengthRows, half: Bools) -> tuple[tuple[float, ...], float]:
    """Of one and two components fitted to one half, from the other half's answers; and of the halves themselves."""
    here, there = (_some(rows, side) for side in (half, ~half))
    if min(int(np.sum(~side.is_cut)) for side in (here, there)) < 2:
        return (), 0.0
    step = fit_runaway(here)
    fits: Sequence[Mixture] = [fit_mixture(here, components=n, runaway=step) for n in (1, 2)]
    return tuple(distance(fit, there, runaway=step) for fit in fits), apart(here, there, runaway=step)


def _some(rows: LengthRows, side: Bools) -> LengthRows:
    return LengthRows(rows.tokens[side], rows.is_cut[side], rows.heat[side], rows.half_unit)
