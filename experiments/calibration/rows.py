"""The measurements of a calibration: data beside fit, held-out errors, and every fitted number.

Rows stand in the section `world`, under the preset's name. A curve is a few measures that
share the cell `n`: `recorded_temperature` and `recorded_quality` are the data with their 95 %
intervals, `curve_temperature` and `curve_quality` the fit; likewise failure and lengths.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.fit_length import mixture_cdf, observed_cdf
from experiments.calibration.fit_quality import FAILURE, QUALITY, Kind, curve_at
from experiments.calibration.fitting import cells_of
from experiments.calibration.outcome_table import Outcomes
from experiments.calibration.task_fit import CurvePart, LengthPart, TaskFit, WorldFit
from experiments.results import Results

__all__ = ["add_rows"]

Floats = NDArray[np.float64]
CURVE_POINTS, LENGTH_POINTS = 41, 40
HOTTEST = 2.0


def add_rows(results: Results, world: str, table: Outcomes, fit: WorldFit) -> None:
    """Append everything that was recorded and fitted.

    Args:
        results: of the run.
        world: name of the preset.
        table: what was read.
        fit: what was fitted.
    """
    here: dict[str, object] = {"section": "world", "world": world}
    results.extend(here | {"measure": "answers_used", "value": float(len(table.task))})
    for one in fit.tasks:
        at = here | {"task": one.name}
        for name, kind, part in (("quality", QUALITY, one.quality), ("failure", FAILURE, one.failure)):
            if part is not None:
                _curve(results, at, name, kind=kind, part=part)
        if one.length is not None:
            _lengths(results, at, one.length)
        _difficulty(results, at, one)
    if fit.latency is not None:
        service = {name: float(value) for name, value in fit.latency._asdict().items() if name != "n"}
        results.extend(here | {"measure": list(service), "estimator": "latency", "value": list(service.values())})


def _curve(results: Results, at: Mapping[str, object], name: str, *, kind: Kind, part: CurvePart) -> None:
    rows, fit = part.rows, part.fit
    cells = cells_of(rows.temperature[:, None], rows.y, rows.problem)
    heats, error = cells.at[:, 0], np.where(np.isfinite(cells.stderr), cells.stderr, 0.0)
    n = np.arange(len(heats))
    results.extend({**at, "measure": f"recorded_temperature_{name}", "n": n, "value": heats})
    bars = {"value": cells.mean, "stderr": error, "lo": cells.mean - 1.96 * error, "hi": cells.mean + 1.96 * error}
    results.extend({**at, "measure": f"recorded_{name}", "n": n} | bars)
    grid = np.linspace(0.0, max(HOTTEST, float(heats.max())), CURVE_POINTS)
    n = np.arange(CURVE_POINTS)
    results.extend({**at, "measure": f"curve_temperature_{name}", "n": n, "value": grid})
    results.extend({**at, "measure": f"curve_{name}", "n": n, "value": curve_at(kind, fit.values, grid)})
    for number, value in fit.values.items():
        sure = fit.stderr.get(number, math.nan)
        told = {"stderr": float(sure)} if math.isfinite(sure) else {}
        how = "fitted" if number in fit.free else "held"
        results.extend({**at, "measure": number, "estimator": how, "value": float(value)} | told)
    if part.held is not None:
        held = {"held_out_rmse": part.held.rmse, "noise_floor": part.held.floor, "constant_rmse": part.held.constant}
        held |= {"half_means_rmse": part.held.raw}
        results.extend({**at, "measure": list(held), "estimator": name, "value": list(held.values())})


def _lengths(results: Results, at: Mapping[str, object], part: LengthPart) -> None:
    reference = part.rows.tokens * np.exp(-part.runaway.at(part.rows.heat))
    low, high = np.quantile(reference, [0.002, 0.998])
    grid = np.geomspace(max(float(low), 1e-3), max(float(high), 1.001 * float(low)), LENGTH_POINTS)
    tokens, share = observed_cdf(reference, part.rows.is_cut)
    recorded = np.concatenate([[0.0], share])[np.searchsorted(tokens, grid, side="right")]
    curves = {"length_tokens": grid, "length_recorded": recorded}
    curves |= {
        f"length_{name}": mixture_cdf(found, grid) for name, found in zip(("one", "two"), part.mixtures, strict=True)
    }
    for measure, values in curves.items():
        results.extend({**at, "measure": measure, "n": np.arange(LENGTH_POINTS), "value": values})
    numbers = {"runaway": part.runaway.gain, "runaway_onset": part.runaway.onset, "runaway_width": part.runaway.width}
    for i, (weight, median, sd) in enumerate(zip(*part.chosen[:3], strict=True), start=1):
        numbers |= {f"length_weight_{i}": weight, f"length_median_{i}": median, f"length_sd_{i}": sd}
    if part.distances:
        numbers |= {
            "kolmogorov_one": part.distances[0],
            "kolmogorov_two": part.distances[1],
            "kolmogorov_halves": part.halves,
        }
    results.extend({**at, "measure": list(numbers), "estimator": "length", "value": list(numbers.values())})


def _difficulty(results: Results, at: Mapping[str, object], one: TaskFit) -> None:
    found = one.difficulty
    if found is None or not found.n_problems:
        return
    numbers = {"variance_total": found.total, "variance_within": found.within, "between": found.between}
    if math.isfinite(found.ratio):
        numbers["variance_ratio"] = found.ratio
    results.extend({**at, "measure": list(numbers), "estimator": "difficulty", "value": list(numbers.values())})
