"""Whether a written preset, read back as a world, is what was fitted and what was recorded.

Exact expectations of the world at the baseline's settings and every temperature of its
lattice; losses by truncation are taken out of the quality before it is compared.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import AXES
from envs.published import Published
from envs.world import Outcome, Scenario
from experiments.calibration.fit_quality import FAILURE, QUALITY
from experiments.calibration.task_fit import TaskFit

__all__ = ["JUDGED", "Agreement", "agreement"]

Floats = NDArray[np.float64]
JUDGED = ("quality", "failure", "truncated")


class Agreement(NamedTuple):
    """Largest gap between preset and fitted curves; recorded means within what they allow, of how many."""

    gap: float
    within: int
    total: int


def agreement(scenario: Scenario, tasks: Sequence[TaskFit], published: Sequence[Published]) -> Agreement:
    """Hold a preset's world against the fit it was written from and the means it claims to reproduce.

    Args:
        scenario: of the preset.
        tasks: the fit, task types in the preset's order.
        published: its recorded means; those of `JUDGED` are held against it.
    """
    gaps = [_gap(scenario, i, one) for i, one in enumerate(tasks)]
    known = [one.quality.fit.values["truncation_loss"] if one.quality is not None else 0.0 for one in tasks]
    judged = [_holds(scenario, point, known) for point in published if point.measure in JUDGED]
    return Agreement(max(gaps, default=0.0), sum(judged), len(judged))


def _line(scenario: Scenario, task: int, *, top_p: str = "", max_tokens: str = "") -> tuple[Floats, float, Outcome]:
    """Temperatures of the lattice, top_p, and exact outcomes there; other settings the baseline's unless given."""
    lattice = scenario.lattice
    heats, nuclei = lattice.values("temperature"), lattice.values("top_p")
    points = np.repeat(lattice.decode(scenario.baseline[task : task + 1]), len(heats), axis=0)
    points[:, AXES.index("temperature")] = np.arange(len(heats))
    for name, given in (("top_p", top_p), ("max_tokens", max_tokens)):
        if given:
            points[:, AXES.index(name)] = int(np.argmin(np.abs(lattice.values(name) - float(given))))
    row = np.int32(np.flatnonzero(scenario.population.task == task)[0])
    parts, _ = scenario.world.expected(scenario.params, np.int32(0), row, lattice.encode(points))
    return heats, float(nuclei[points[0, AXES.index("top_p")]]), parts


def _gap(scenario: Scenario, task: int, one: TaskFit) -> float:
    heats, nucleus, parts = _line(scenario, task)
    at = np.stack([heats, np.full_like(heats, nucleus), np.zeros_like(heats)], axis=1)
    gaps = [0.0]
    if one.failure is not None:
        gaps.append(float(np.max(np.abs(parts.failure - FAILURE.curve(one.failure.fit.values, at)))))
    if one.quality is not None:
        values = one.quality.fit.values
        kept = (1.0 - parts.failure) * (1.0 - values["truncation_loss"] * parts.truncated)
        gaps.append(float(np.max(np.abs(parts.quality - kept * QUALITY.curve(values, at)))))
    return max(gaps)


def _holds(scenario: Scenario, point: Published, losses: Sequence[float]) -> bool:
    """Whether the preset's exact mean lies within what a recorded mean allows."""
    task = scenario.population.names.index(point.task)
    heats, _, parts = _line(scenario, task, top_p=point.top_p, max_tokens=point.max_tokens)
    home = scenario.lattice.parameters(int(scenario.baseline[task]))["temperature"]
    at = int(np.argmin(np.abs(heats - float(point.temperature or home))))
    mean = float(getattr(parts, point.measure)[at])
    if point.measure == "quality":  # no cap: what truncation takes is given back
        mean /= max(1.0 - float(losses[task]) * float(parts.truncated[at]), 1e-12)
    return abs(mean - point.value) <= point.allowed
