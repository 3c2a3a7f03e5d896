"""The recorded means that a fitted preset claims to reproduce, each with its standard error or tolerance."""

import math
from collections.abc import Mapping

import numpy as np

from envs.published import Published
from experiments.calibration.fit_length import observed_cdf
from experiments.calibration.fit_noise import NoiseKind
from experiments.calibration.fit_quality import QUALITY, curve_at
from experiments.calibration.fitting import cells_of
from experiments.calibration.outcome_table import Outcomes
from experiments.calibration.preset_grids import Grid
from experiments.calibration.task_fit import PLATEAU, LengthPart, TaskFit, WorldFit

__all__ = ["published_points", "short"]

LEAST_COUNT = 20  # answers behind a published mean
LONGER = (0.75, 0.5, 0.1)  # shares of answers near which a recorded share is published


def published_points(table: Outcomes, fit: WorldFit, grids: Mapping[str, Grid]) -> list[Published]:
    """The recorded means that a written preset claims to reproduce, with their standard errors.

    Means of fewer than 20 answers and settings off the grids are left out. A quality counts failed
    calls as 0 and leaves out answers that were cut off.
    """
    points = []
    for i, one in enumerate(fit.tasks):
        for measure, part in (("quality", one.quality), ("failure", one.failure)):
            if part is not None:
                points += _means(table, i, measure, grids)
        if one.length is not None:
            points += _longer(table, i, one.length, grids)
        if fit.noise == NoiseKind("binomial", 1):
            points += _ratio(one, float(grids["temperature"].baseline), source=table.source)
    return points


def _ratio(one: TaskFit, home: float, *, source: str) -> list[Published]:
    """By how much asking again divides the variance, where the baseline's temperature lies on the plateau."""
    found = one.difficulty
    if one.quality is None or found is None or not (found.within > 0 and found.within_stderr > 0):
        return []
    values, heats = one.quality.fit.values, one.quality.fit.cells.at[:, 0]
    if curve_at(QUALITY, values, np.array([home]))[0] < PLATEAU * np.max(curve_at(QUALITY, values, heats)):
        return []
    error = found.ratio * found.within_stderr / found.within
    words = f"{source}, {found.n_answers} answers to {found.n_problems} problems"
    return [Published("variance_ratio", short(found.ratio), words, one.name, stderr=short(error))]


def _means(table: Outcomes, task: int, measure: str, grids: Mapping[str, Grid]) -> list[Published]:
    """Recorded means of one task type by temperature and top_p."""
    failed = np.nan_to_num(table.parts["failure"])
    y = failed if measure == "failure" else np.where(failed > 0, 0.0, table.parts["quality"])
    heat, nucleus = table.parts["temperature"], np.nan_to_num(table.parts["top_p"], nan=1.0)
    use = (table.task == task) & np.isfinite(y) & np.isfinite(heat) & np.isfinite(table.parts[measure] + y)
    use &= (measure == "failure") | ~(table.parts["truncated"] > 0)
    if not use.any():
        return []
    cells = cells_of(np.stack([heat, nucleus], axis=1)[use], y[use], table.problem[use])
    points, has_nuclei = [], grids["top_p"].start != grids["top_p"].stop
    for (at, top_p), count, mean, found in zip(cells.at, cells.size, cells.mean, cells.stderr, strict=True):
        if count < LEAST_COUNT or not (grids["temperature"].holds(at) and grids["top_p"].holds(top_p)):
            continue
        shrunk = (count * mean + 2.0) / (count + 4.0)  # equal answers are not certainty
        error = max(
            float(np.nan_to_num(found)),
            math.sqrt(shrunk * (1.0 - shrunk) / (count + 4.0)) if mean in (0.0, 1.0) else 1e-4,
        )
        points.append(
            Published(
                measure,
                short(mean),
                f"{table.source}, {int(count)} answers",
                table.tasks[task],
                temperature=f"{at:.9g}",
                top_p=f"{top_p:.9g}" if has_nuclei else "",
                stderr=short(error),
            )  # fmt: skip
        )
    return points


def _longer(table: Outcomes, task: int, part: LengthPart, grids: Mapping[str, Grid]) -> list[Published]:
    """Shares of calls with an answer longer than some max_tokens, at the recorded temperature next to the baseline.

    A call that failed has no answer. The tolerance is the Kolmogorov distance that the fit showed on held-out
    answers, and not below two standard errors.
    """
    heats = np.unique(part.rows.heat[np.isfinite(part.rows.heat)])
    home = float(grids["temperature"].baseline)
    heat = float(heats[np.argmin(np.abs(heats - home))]) if heats.size else home
    use = part.rows.heat == heat if heats.size else np.ones(len(part.rows.tokens), np.bool_)
    n = int(use.sum())
    if n < LEAST_COUNT or not grids["temperature"].holds(heat):
        return []
    at, share = observed_cdf(part.rows.tokens[use], part.rows.is_cut[use])
    grid = grids["max_tokens"]
    caps = np.arange(int(grid.start), int(grid.stop) + 1, int(grid.step))
    longer = _answered(table, task, heat) * (
        1.0 - np.concatenate([[0.0], share])[np.searchsorted(at, caps, side="right")]
    )
    reach = part.distances[int(len(part.chosen.weight) > 1)] if part.distances else 0.1
    points = []
    for i in dict.fromkeys(int(np.argmin(np.abs(longer - wanted))) for wanted in LONGER):
        tolerance = max(reach, 2.0 * math.sqrt(longer[i] * (1.0 - longer[i]) / n))
        words = f"{table.source}, {n} answers; tolerance: the fit's Kolmogorov distance on held-out answers"
        points.append(
            Published(
                "truncated",
                short(float(longer[i])),
                words,
                table.tasks[task],
                temperature=f"{heat:.9g}" if heats.size else "",
                max_tokens=str(caps[i]),
                tolerance=short(tolerance),
            )  # fmt: skip
        )
    return points


def _answered(table: Outcomes, task: int, heat: float) -> float:
    """Share of calls at a temperature that did not fail; 1 where no failure was recorded there."""
    failed = table.parts["failure"][(table.task == task) & (table.parts["temperature"] == heat)]
    known = failed[np.isfinite(failed)]
    return 1.0 - float(known.mean()) if known.size else 1.0


def short(value: float) -> float:
    """Six significant digits: what a yaml carries.

    >>> short(0.123456789)
    0.123457
    """
    return float(f"{value:.6g}")
