"""Fitted numbers as a preset: a yaml that runs, each number with a comment that says fitted or assumed.

The lattice covers temperatures 0 to 2 (or the recorded ones, if higher) and a grid of
max_tokens that holds the recorded lengths and the baseline. What the table cannot tell
(prices, task features, losses by truncation that never happened) is the preset's default,
marked as assumed. The recorded means come along as `published`, so that anybody can check
the simulated world against them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.published import Published
from envs.reward import RewardWeights
from experiments.fit_length import observed_cdf
from experiments.fit_noise import LEVELS
from experiments.fitting import default_of, range_of
from experiments.outcome_table import Outcomes
from experiments.task_fit import CurvePart, LengthPart, TaskFit, WorldFit

__all__ = ["Grid", "Preset", "grids_of", "preset_text", "published_points", "task_numbers"]

Floats = NDArray[np.float64]
STEPS = (25, 50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000, 50_000, 100_000)
MOST_VALUES = 20  # of max_tokens
COVERED = 0.99  # of the recorded lengths lie below the largest max_tokens, with a tenth to spare
LEAST_TOP = 100  # tokens: the usual hard limits allow 64 and more
LEAST_COUNT = 20  # answers behind a published mean
QUANTILES = (0.25, 0.5, 0.9)
HOTTEST = Decimal(2)


class Grid(NamedTuple):
    """One axis of the lattice and its baseline, as decimal strings."""

    start: str
    stop: str
    step: str
    baseline: str

    def holds(self, value: float) -> bool:
        """Whether a number is a point of the grid."""
        number, start, step = Decimal(f"{value:.9g}"), Decimal(self.start), Decimal(self.step)
        return start <= number <= Decimal(self.stop) and (number - start) % step == 0


class Preset(NamedTuple):
    """What a yaml is made of."""

    name: str
    source: str  # file and digest
    notes: Sequence[str]  # what was read
    grids: Mapping[str, Grid]  # temperature, max_tokens, top_p
    fit: WorldFit
    reward: RewardWeights
    published: Sequence[Published]


def grids_of(table: Outcomes, fit: WorldFit) -> dict[str, Grid]:
    """Axes that hold what was recorded: temperature, max_tokens, top_p."""
    del fit
    return {
        "temperature": _temperatures(_recorded(table, "temperature")),
        "max_tokens": _caps(table),
        "top_p": _nuclei(_recorded(table, "top_p")),
    }


def _recorded(table: Outcomes, part: str) -> Floats:
    values = table.parts[part]
    return values[np.isfinite(values)]


def _usual(values: Floats, near: float) -> float:
    """The most frequent value; of several as frequent the one next to `near`; `near` if there is none."""
    if not values.size:
        return near
    distinct, count = np.unique(values, return_counts=True)
    most = distinct[count >= 0.99 * count.max()]
    return float(most[np.argmin(np.abs(most - near))])


def _temperatures(seen: Floats) -> Grid:
    hundredths = np.rint(np.unique(seen) * 100).astype(int)
    step = Decimal("0.05") if np.any(hundredths % 10) and not np.any(hundredths % 5) else Decimal("0.1")
    top = max(HOTTEST, -(-Decimal(f"{seen.max() if seen.size else 0:.9g}") // step) * step)
    home = round(Decimal(f"{_usual(seen, 1.0):.9g}") / step) * step
    return Grid("0.0", str(top.quantize(step)), str(step), str(home.quantize(step)))


def _nuclei(seen: Floats) -> Grid:
    if np.unique(seen).size < 2:
        home = f"{_usual(seen, 1.0):.9g}"
        return Grid(home, home, "0.1", home)
    step = Decimal("0.1") if np.allclose(seen * 10, np.rint(seen * 10)) else Decimal("0.05")
    low = Decimal(f"{seen.min():.9g}") // step * step
    home = round(Decimal(f"{_usual(seen, 1.0):.9g}") / step) * step
    return Grid(str(max(low, step)), "1.0", str(step), str(home))


def _caps(table: Outcomes) -> Grid:
    """Values of max_tokens: the recorded ones if they are even, else round steps through the baseline."""
    seen, lengths = np.unique(_recorded(table, "max_tokens")), _recorded(table, "output_tokens")
    if seen.size > 1 and np.all(seen == np.rint(seen)):
        step = int(np.gcd.reduce(np.diff(seen).astype(np.int64)))
        home = int(_usual(_recorded(table, "max_tokens"), float(seen[-1])))
        if (seen[-1] - seen[0]) / step < 4 * MOST_VALUES:
            return Grid(str(int(seen[0])), str(int(seen[-1])), str(step), str(home))
    covered = 1.1 * float(np.quantile(lengths, COVERED)) if lengths.size else 512.0
    top = max(LEAST_TOP, math.ceil(max(covered, float(seen[-1]) if seen.size else 0.0)))
    step = next((step for step in STEPS if top <= MOST_VALUES * step), STEPS[-1])
    home = int(_usual(_recorded(table, "max_tokens"), 0.0)) or -(-top // step) * step
    start = home % step or step
    stop = start + -(-max(top - start, 0) // step) * step
    return Grid(str(start), str(stop), str(step), str(home))


def published_points(table: Outcomes, fit: WorldFit, grids: Mapping[str, Grid]) -> list[Published]:
    """The recorded means that a written preset claims to reproduce, with their standard errors.

    Means of fewer than 20 answers and settings off the grids are left out; answers cut off at
    max_tokens are not averaged into a quality.
    """
    points = []
    for one in fit.tasks:
        for part, measure in ((one.quality, "quality"), (one.failure, "failure")):
            if part is not None:
                points += _means(one, part, measure, grids=grids, source=table.source)
        if one.length is not None:
            points += _quantiles(one, one.length, grids["temperature"], source=table.source)
        difficulty = one.difficulty
        if difficulty is not None and difficulty.within > 0 and difficulty.within_stderr > 0:
            error = difficulty.ratio * difficulty.within_stderr / difficulty.within
            points.append(
                Published("variance_ratio", _short(difficulty.ratio), table.source, one.name, stderr=_short(error))
            )
    return points


def _means(
    one: TaskFit, part: CurvePart, measure: str, *, grids: Mapping[str, Grid], source: str
) -> list[Published]:
    cells, points = part.fit.cells, []
    for (heat, top_p, cut), count, mean, error in zip(cells.at, cells.count, cells.mean, cells.stderr, strict=True):
        fits = grids["temperature"].holds(heat) and grids["top_p"].holds(top_p)
        if cut > 0 or count < LEAST_COUNT or not fits:
            continue
        shrunk = (count * mean + 2.0) / (count + 4.0)  # so that equal answers are not taken for certainty
        least = math.sqrt(shrunk * (1.0 - shrunk) / (count + 4.0)) if measure == "failure" else 1e-3
        error = max(float(error) if math.isfinite(error) else 0.0, least)
        points.append(
            Published(
                measure, _short(mean), f"{source}, {int(count)} answers", one.name, temperature=f"{heat:.9g}",
                top_p=f"{top_p:.9g}" if grids["top_p"].start != grids["top_p"].stop else "", stderr=_short(error),
            )  # fmt: skip
        )
    return points


def _quantiles(one: TaskFit, part: LengthPart, grid: Grid, *, source: str) -> list[Published]:
    """Lengths that a share of answers stays below, at the recorded temperature next to the baseline.

    The tolerance is what the fit's own Kolmogorov distance allows: the recorded quantiles that far off.
    """
    heats = np.unique(part.rows.heat[np.isfinite(part.rows.heat)])
    heat = float(heats[np.argmin(np.abs(heats - float(grid.baseline)))]) if heats.size else math.nan
    use = part.rows.heat == heat if heats.size else np.ones(len(part.rows.tokens), np.bool_)
    n = int(use.sum())
    if n < LEAST_COUNT or (heats.size and not grid.holds(heat)):
        return []
    at, share = observed_cdf(part.rows.tokens[use], part.rows.is_cut[use])
    points = []
    for quantile in QUANTILES:
        reach = max(part.distances[int(len(part.chosen.weight) > 1)] if part.distances else 0.1, 2.0 * math.sqrt(0.25 / n))
        if quantile + reach > share[-1]:
            continue
        low, middle, high = (float(at[np.searchsorted(share, q)]) for q in (max(quantile - reach, 0.0), quantile, quantile + reach))
        tolerance = max(middle - low, high - middle, part.rows.half_unit)
        points.append(
            Published(
                "length_quantile", _short(middle), f"{source}, {n} answers; tolerance: Kolmogorov distance {reach:.3f}",
                one.name, temperature=f"{heat:.9g}" if heats.size else "", at=quantile, tolerance=_short(tolerance),
            )  # fmt: skip
        )
    return points


def task_numbers(one: TaskFit) -> dict[str, tuple[float | int, str]]:
    """Every number of a task type in the yaml's order, and where it comes from."""
    numbers: dict[str, tuple[float | int, str]] = {"weight": (one.n_rows, "recorded: its answers")}
    for part, missing in ((one.quality, "no quality recorded"), (one.failure, "no failure recorded")):
        names = ("q0", "t_star", "k_t", "cliff", "cliff_width", "truncation_loss")
        if missing.startswith("no failure"):
            names = ("failure_floor", "failing", "failure_centre", "failure_width")
        for name in names:
            numbers[name] = (default_of(name), f"assumed: {missing}") if part is None else _curve_number(part, name)
    numbers |= _length_numbers(one, float(numbers["cliff"][0]))
    difficulty = one.difficulty
    if difficulty is not None and difficulty.n_problems:
        why = f"fitted: variance within {difficulty.n_problems} problems {difficulty.within:.4f}, x{difficulty.ratio:.1f} less"
        numbers["between"] = (difficulty.between, why)
    else:
        numbers["between"] = (0.0, "assumed: no problem was answered twice")
    if one.prompt_tokens is not None:
        numbers["prompt_tokens"] = (one.prompt_tokens, "recorded: the median")
    return numbers


def _curve_number(part: CurvePart, name: str) -> tuple[float, str]:
    fit, value = part.fit, float(part.fit.values[name])
    if name in fit.free:
        error = fit.stderr[name]
        return value, f"fitted, standard error {error:.3g}" if math.isfinite(error) else "fitted, at an end of its range"
    hottest = float(part.rows.temperature.max())
    if name == "truncation_loss":
        return value, "assumed: too few answers were cut off"
    return value, f"held: recorded temperatures (up to {hottest:g}) ask for no more"


def _length_numbers(one: TaskFit, cliff: float) -> dict[str, tuple[float, str]]:
    part = one.length
    if part is None:
        names = ("length_median_1", "length_sd_1", "length_weight_1")
        return {name: (default_of(name), "assumed: no length recorded") for name in names}
    step, mixture, n = part.runaway, part.chosen, len(part.rows.tokens)
    why = f"fitted: twice the log likelihood + {step.misfit_saved:.1f}" if step.gain else "no step seen over temperature"
    numbers = {"runaway": (step.gain, why)}
    if step.gain:
        limits = range_of("runaway_shift")
        numbers["runaway_shift"] = (float(np.clip(step.onset - cliff, limits.low, limits.high)), "fitted, from the cliff")
        numbers["runaway_width"] = (step.width, "fitted")
    for i, (median, sd) in enumerate(zip(mixture.median, mixture.sd, strict=True), start=1):
        numbers[f"length_median_{i}"] = (median, f"fitted to {n} lengths")
        numbers[f"length_sd_{i}"] = (sd, "fitted")
        if i == 1:
            numbers["length_weight_1"] = (mixture.weight[0], "fitted" if len(mixture.weight) > 1 else "one component")
    return numbers


def _short(value: float) -> float:
    """Six significant digits: what a yaml carries."""
    return float(f"{value:.6g}")


def _line(name: str, value: float | int, why: str) -> str:
    shown = str(value) if isinstance(value, int) else repr(_short(value))
    return f"    {name}: {shown}  # {why}"


def preset_text(preset: Preset) -> str:
    """The yaml."""
    lines = [f"# {line}" for line in _head(preset)]
    lines += ["_target_: envs.surfaces.llm_outcome.Params", f"name: {preset.name}", "lattice:"]
    lines += [f"  {name}: {_mapping(grid)}" for name, grid in _axes(preset).items()]
    base = {name: grid.baseline for name, grid in _axes(preset).items()}
    lines += [f"baseline: {{{', '.join(f'{name}: {json.dumps(x)}' for name, x in base.items())}}}", "task_types:"]
    for one in preset.fit.tasks:
        lines.append(f"  - name: {json.dumps(one.name)}  # {one.n_rows:,} answers to {one.n_problems:,} problems")
        lines += [_line(name, value, why) for name, (value, why) in task_numbers(one).items()]
    lines += ["effects: {difficulty: 0.0, hidden: 0.0, length: 0.0, optimum: 0.0, cliff: 0.0}  # assumed: features not recorded"]
    lines += [*_service(preset.fit), *_noise(preset.fit), f"levels: {LEVELS}"]
    worth = ", ".join(f"{name}: {value!r}" for name, value in asdict(preset.reward).items())
    lines += [f"reward: {{{worth}}}  # chosen, not recorded", "contexts_per_type: 128", "population_seed: 20260"]
    lines += ["published:" if preset.published else "published: []"]
    lines += [f"  - {_point(point)}" for point in preset.published]
    return "\n".join(lines) + "\n"


def _axes(preset: Preset) -> dict[str, Grid]:
    still = Grid("0", "0", "1", "0")
    return {**preset.grids, "frequency_penalty": still, "presence_penalty": still}


def _head(preset: Preset) -> list[str]:
    return [
        "A preset fitted to recorded answers by `experiment=calibrate`; to run it, give --config-dir its configs folder.",
        f"Source: {preset.source}.",
        *(f"Read: {note}" for note in preset.notes),
        "Fitted numbers carry their standard error, clustered by problem; held and assumed ones are defaults.",
        "Beyond the hottest recorded temperature every curve is an extrapolation.",
    ]


def _mapping(grid: Grid) -> str:
    return f"{{start: {json.dumps(grid.start)}, stop: {json.dumps(grid.stop)}, step: {json.dumps(grid.step)}}}"


def _service(fit: WorldFit) -> list[str]:
    found = fit.latency
    if found is None:
        return ["# assumed: prices and latency were not recorded, the service is the preset's default", "service: {}"]
    names = ("first_token_ms", "token_ms", "first_token_jitter", "token_jitter", "cold_share")
    names += ("cold_low_ms", "cold_high_ms") if found.cold_share else ()
    lines = [f"  {name}: {_short(getattr(found, name))!r}" for name in names]
    return [f"service:  # latency fitted to {found.n} calls, median miss {found.line_error:.3g} ms; prices assumed", *lines]


def _noise(fit: WorldFit) -> list[str]:
    if fit.noise is None:
        return ["noise: {kind: binomial, checks: 1}  # assumed: no quality recorded"]
    if fit.noise.kind == "binomial":
        return [f"noise: {{kind: binomial, checks: {fit.noise.checks}}}  # recorded: every score is a share of them"]
    return [f"noise: {{kind: graded, spread: {_short(fit.spread or 0.2)!r}}}  # fitted: variance within problems"]


def _point(point: Published) -> str:
    kept = {name: value for name, value in asdict(point).items() if value not in ("", 0.0) or name == "value"}
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in kept.items()) + "}"
