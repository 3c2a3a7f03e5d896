"""Published against simulated: what a preset gives for every number that it claims to reproduce.

Exact means over the population of the task type, at the parameters that were published,
on the lattice or off it.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from envs.curves import Service, jitter, split
from envs.lattice import AXES, AxisRange, LatticeRanges
from envs.published import Published
from envs.surfaces import llm_outcome
from envs.surfaces.llm_outcome import Params
from envs.targets import nearest, refuse
from envs.world import Outcome, Scenario

__all__ = ["Compared", "compare", "simulated"]

UNCAPPED = "1000000"  # tokens
REFERENCE = "0.5"  # temperature that length ratios are told against
LEVELS = llm_outcome.MAX_LEVELS
Floats = NDArray[np.float64]


class Compared(NamedTuple):
    """One published number and what the preset gives for it."""

    record: Published
    simulated: float

    @property
    def holds(self) -> bool:
        """Whether it lies within what the record allows."""
        return abs(self.simulated - self.record.value) <= self.record.allowed


def _point(params: Params, record: Published, temperature: str) -> Scenario:
    """The preset with the published parameters as its only action, for each of its models."""
    known = {name: getattr(record, name) or getattr(params.baseline, name) for name in AXES}
    known |= {"temperature": temperature or known["temperature"], "max_tokens": record.max_tokens or UNCAPPED}
    lattice = LatticeRanges(**{name: AxisRange(value, value) for name, value in known.items()})
    baseline = llm_outcome.Baseline(**known, model=params.baseline.model)
    return llm_outcome.build(replace(params, lattice=lattice, baseline=baseline, levels=LEVELS, replays=0))


def _rows(scenario: Scenario, record: Published) -> tuple[NDArray[np.bool_], int]:
    """(n,) the task type's rows, and the place of the model."""
    names, models = scenario.population.names, scenario.lattice.axes[-1].values
    task, model = record.task or names[0], record.model or models[0]
    for word, got, known in (("task", task, names), ("model", model, models)):
        if got not in known:
            raise refuse(f"world.published.{word}", got, f"one of {', '.join(known)}{nearest(got, known)}")
    return scenario.population.task == names.index(task), models.index(model)


def _means(params: Params, record: Published, temperature: str) -> tuple[Outcome, Floats]:
    """Expected parts of a type's rows, (m,) each, and their `between`."""
    scenario = _point(params, record, temperature)
    mine, model = _rows(scenario, record)
    alone, rows = np.array([model], np.int32), np.flatnonzero(mine).astype(np.int32)
    drawn = [scenario.world.expected(scenario.params, np.int32(0), row, alone)[0] for row in rows]
    kinds = {kind.name: kind.between for kind in params.task_types}
    between = kinds[record.task or params.task_types[0].name]
    return Outcome(*(np.concatenate(part) for part in zip(*drawn, strict=True))), np.full(len(rows), between)


def _service(params: Params, record: Published) -> Service:
    scenario = _point(params, record, "")
    return Service(*split(scenario.params.models[_rows(scenario, record)[1]], Service))


def _first_token_mean(params: Params, record: Published) -> float:
    """The world's mean latency without its tokens' share."""
    parts, _ = _means(params, record, "")
    model = _service(params, record)
    return float(np.mean(parts.latency_ms - parts.output_tokens * model.token_ms * model.token_mean))


def _first_token_quantile(params: Params, record: Published) -> float:
    """Of 200,000 evenly spread first-token times: log-normal, and a share of them after a cold start."""
    model, n = _service(params, record), 200_000
    even = (np.arange(n) + 0.5) / n
    warm = model.first_token_ms * jitter(model.first_token_jitter, ndtri(even))
    other = (even * 0.6180339887498949 * n) % 1.0  # a second coordinate, spread independently of the first
    is_cold = other < model.cold_share
    within = other / np.where(model.cold_share > 0, model.cold_share, 1.0)
    wait = model.cold_low_ms + within * (model.cold_high_ms - model.cold_low_ms)
    return float(np.quantile(warm + np.where(is_cold, wait, 0.0), record.at))


def _variance_ratio(params: Params, record: Published) -> float:
    """Variance of right-or-wrong answers over all problems, over the mean variance within one."""
    parts, between = _means(params, record, record.temperature)
    mean = parts.quality[:, None]
    steep = np.sqrt(between)[:, None]
    of_level = (1.0 - steep) * mean + steep * np.clip(LEVELS * mean - np.arange(LEVELS), 0.0, 1.0)
    within = float(np.mean(of_level * (1.0 - of_level)))
    return float(mean.mean() * (1.0 - mean.mean())) / within


def simulated(params: Params, record: Published) -> float:
    """What a preset gives for one published number, in the number's own unit.

    Raises:
        ConfigError: a task type or model that the preset does not have.
        ValueError: parameters that no lattice can hold.
    """
    if record.measure == "length_ratio":
        there, here = (_means(params, record, heat)[0] for heat in (record.temperature, REFERENCE))
        return float(np.mean(there.output_tokens) / np.mean(here.output_tokens))
    if record.measure == "first_token_mean":
        return _first_token_mean(params, record)
    if record.measure == "first_token_quantile":
        return _first_token_quantile(params, record)
    if record.measure == "variance_ratio":
        return _variance_ratio(params, record)
    parts, _ = _means(params, record, record.temperature)
    return float(np.mean(getattr(parts, record.measure)))


def compare(params: Params) -> tuple[Compared, ...]:
    """Every published number of a preset against what it gives."""
    return tuple(Compared(record, simulated(params, record)) for record in params.published)
