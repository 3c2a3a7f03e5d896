"""Published against simulated: what a preset gives for every number that it claims to reproduce.

Exact means over the population of the task type, at the parameters that were published,
on the lattice or off it.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.curves import Service, split
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


def _recorded_length(params: Params, record: Published, temperature: str) -> float:
    parts, _ = _means(params, record, temperature)
    return float(np.mean((1.0 - parts.failure) * parts.output_tokens))


def _latency(params: Params, record: Published) -> float:
    scenario = _point(params, record, "")
    model = Service(*split(scenario.params.models[_rows(scenario, record)[1]], Service))
    cold = model.cold_share * (model.cold_low_ms + model.cold_high_ms) / 2.0
    return float(model.first_token_ms * model.first_token_mean + record.at * model.token_ms * model.token_mean + cold)


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
        there = _recorded_length(params, record, record.temperature)
        return there / _recorded_length(params, record, REFERENCE)
    if record.measure == "latency_ms":
        return _latency(params, record)
    if record.measure == "variance_ratio":
        return _variance_ratio(params, record)
    parts, _ = _means(params, record, record.temperature)
    return float(np.mean(getattr(parts, record.measure)))


def compare(params: Params) -> tuple[Compared, ...]:
    """Every published number of a preset against what it gives."""
    return tuple(Compared(record, simulated(params, record)) for record in params.published)
