"""Whether a written preset, read back as a world, is what was fitted and what was recorded.

Curves: exact expectations of the world at the baseline's settings and every temperature of
its lattice, losses by truncation taken out of the quality. Recorded means: the preset's own
list `published`, compared as every preset's is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.calibration import compare
from envs.lattice import AXES
from envs.surfaces import llm_outcome
from envs.world import Outcome, Scenario
from experiments.calibration.fit_quality import FAILURE, QUALITY
from experiments.calibration.task_fit import TaskFit

__all__ = ["Agreement", "agreement"]

Floats = NDArray[np.float64]


class Agreement(NamedTuple):
    """Largest gap between preset and fitted curves; recorded means within what they allow, of how many."""

    gap: float
    within: int
    total: int


def agreement(params: llm_outcome.Params, tasks: Sequence[TaskFit]) -> Agreement:
    """Hold a preset against the fit it was written from and the means it claims to reproduce.

    Args:
        params: the preset as it was read back.
        tasks: the fit, task types in the preset's order.
    """
    scenario, found = llm_outcome.build(params), compare(params)
    gaps = [_gap(scenario, i, one) for i, one in enumerate(tasks)]
    return Agreement(max(gaps, default=0.0), sum(one.holds for one in found), len(found))


def _line(scenario: Scenario, task: int) -> tuple[Floats, float, Outcome]:
    """Temperatures of the lattice, top_p, and exact outcomes there; other settings the baseline's."""
    lattice = scenario.lattice
    heats, nuclei = lattice.values("temperature"), lattice.values("top_p")
    points = np.repeat(lattice.decode(scenario.baseline[task : task + 1]), len(heats), axis=0)
    points[:, AXES.index("temperature")] = np.arange(len(heats))
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
        kept = 1.0 - parts.failure - values["truncation_loss"] * parts.truncated  # a failed call is not cut off
        gaps.append(float(np.max(np.abs(parts.quality - kept * QUALITY.curve(values, at)))))
    return max(gaps)
