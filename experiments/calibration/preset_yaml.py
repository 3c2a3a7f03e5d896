"""Fitted numbers as a preset: a yaml that runs, each number with a comment that says fitted, held or assumed.

What the table cannot tell (prices, task features, losses by truncation that never happened)
is the preset's default, marked as assumed. The recorded means come along as `published`, so
that anybody can check the simulated world against them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from envs.published import Published
from envs.reward import RewardWeights
from experiments.calibration.fit_noise import LEVELS
from experiments.calibration.fit_quality import FAILURE, QUALITY
from experiments.calibration.fitting import default_of, range_of
from experiments.calibration.preset_grids import Grid
from experiments.calibration.preset_points import short
from experiments.calibration.task_fit import CurvePart, TaskFit, WorldFit

__all__ = ["Preset", "preset_text", "task_numbers"]


class Preset(NamedTuple):
    """What a yaml is made of."""

    name: str
    source: str  # file and digest
    notes: Sequence[str]  # what was read
    grids: Mapping[str, Grid]  # temperature, max_tokens, top_p
    fit: WorldFit
    reward: RewardWeights
    published: Sequence[Published]


def task_numbers(one: TaskFit, n_answers: int) -> dict[str, tuple[float | int, str]]:
    """Every number of a task type in the yaml's order, and where it comes from.

    Args:
        one: the fit.
        n_answers: of all task types, for its share of the traffic.
    """
    numbers: dict[str, tuple[float | int, str]] = {"weight": (one.n_rows / n_answers, "recorded: its share of answers")}
    for kind, part, what in ((QUALITY, one.quality, "quality"), (FAILURE, one.failure, "failure")):
        for name in kind.names:
            assumed = (default_of(name), f"assumed: no {what} recorded")
            numbers[name] = assumed if part is None else _curve_number(part, name)
    numbers |= _length_numbers(one, float(numbers["cliff"][0]))
    difficulty = one.difficulty
    if difficulty is not None and difficulty.n_problems:
        less = f"{difficulty.ratio:.1f} times less than m (1 - m)"
        why = f"fitted: variance within {difficulty.n_problems} problems {difficulty.within:.4f}, {less}"
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
        return value, f"fitted, standard error {error:.3g}" if math.isfinite(
            error
        ) else "fitted, at an end of its range"
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
    heats = len(np.unique(part.rows.heat[np.isfinite(part.rows.heat)]))
    why = (
        f"fitted: adds {step.misfit_saved:.1f} to twice the log likelihood"
        if step.gain
        else f"none seen at {heats} temperatures"
    )
    numbers = {"runaway": (step.gain, why)}
    if step.gain:
        limits = range_of("runaway_shift")
        numbers["runaway_shift"] = (
            float(np.clip(step.onset - cliff, limits.low, limits.high)),
            "fitted, from the cliff",
        )
        numbers["runaway_width"] = (step.width, "fitted")
    for i, (median, sd) in enumerate(zip(mixture.median, mixture.sd, strict=True), start=1):
        numbers[f"length_median_{i}"] = (median, f"fitted to {n} lengths")
        numbers[f"length_sd_{i}"] = (sd, "fitted")
        if i == 1:
            numbers["length_weight_1"] = (mixture.weight[0], "fitted" if len(mixture.weight) > 1 else "one component")
    return numbers


def _line(name: str, value: float | int, why: str) -> str:
    shown = str(value) if isinstance(value, int) else repr(short(value))
    return f"    {name}: {shown}  # {why}"


def preset_text(preset: Preset) -> str:
    """The yaml."""
    lines, total = [f"# {line}" for line in _head(preset)], sum(one.n_rows for one in preset.fit.tasks)
    lines += ["_target_: envs.surfaces.llm_outcome.Params", f"name: {preset.name}", "lattice:"]
    lines += [f"  {name}: {_mapping(grid)}" for name, grid in _axes(preset).items()]
    base = {name: grid.baseline for name, grid in _axes(preset).items()}
    lines += [f"baseline: {{{', '.join(f'{name}: {json.dumps(x)}' for name, x in base.items())}}}", "task_types:"]
    for one in preset.fit.tasks:
        clusters = f" to {one.n_problems:,} problems" if one.n_problems < one.n_rows else ""
        lines.append(f"  - name: {json.dumps(one.name)}  # {one.n_rows:,} answers{clusters}")
        lines += [_line(name, value, why) for name, (value, why) in task_numbers(one, total).items()]
    lines += ["effects: {difficulty: 0.0, hidden: 0.0, length: 0.0, optimum: 0.0, cliff: 0.0}  # assumed"]
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
        "A preset fitted to recorded answers by experiment=calibrate; --config-dir its `configs` folder runs it.",
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
    names = ["first_token_ms", "token_ms", "first_token_jitter", "token_jitter", "cold_share"]
    names += ["cold_low_ms", "cold_high_ms"] if found.cold_share else []
    lines = [f"  {name}: {short(getattr(found, name))!r}" for name in names]
    return [
        f"service:  # latency fitted to {found.n} calls, median miss {found.line_error:.3g} ms; prices assumed",
        *lines,
    ]


def _noise(fit: WorldFit) -> list[str]:
    if fit.noise is None:
        return ["noise: {kind: binomial, checks: 1}  # assumed: no quality recorded"]
    if fit.noise.kind == "binomial":
        return [f"noise: {{kind: binomial, checks: {fit.noise.checks}}}  # recorded: every score is a share of them"]
    return [f"noise: {{kind: graded, spread: {short(fit.spread or 0.2)!r}}}  # fitted: variance within problems"]


def _point(point: Published) -> str:
    kept = {name: value for name, value in asdict(point).items() if value not in ("", 0.0) or name == "value"}
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in kept.items()) + "}"
