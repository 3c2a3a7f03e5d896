"""Means of recorded answers over problems, with standard errors clustered by problem.

Every number is a mean over the units of a task type of something linear in their cells' means, an
interpolated action included, so one formula serves: the sum over problems of the squared sums
of deviations, times G / (G - 1) for G problems. What two actions share of a problem cancels in
it as it should. Source: Liang & Zeger (1986), for a mean.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.interpolation import inner
from envs.world import Scenario

__all__ = ["Truth", "gain", "line_error", "truth"]

Floats = NDArray[np.float64]


class Truth(NamedTuple):
    """(tasks, actions) mean over a task type's units and its standard error; NaN where never recorded."""

    mean: Floats
    stderr: Floats


def _mean(values: Floats, cluster: NDArray[np.int32]) -> Truth:
    """Mean of values (n, m) over their n units and its standard error, (m,) each."""
    groups, of = np.unique(cluster, return_inverse=True)
    mean, n_groups = values.mean(axis=0), len(groups)
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, of.reshape(-1), values - mean)
    scale = n_groups / (n_groups - 1) if n_groups > 1 else np.nan
    return Truth(mean, np.sqrt(scale * np.sum(sums**2, axis=0)) / len(values))


def _by_task(scenario: Scenario, values: Floats) -> Truth:
    """Mean of values (n, actions) over each task type's units."""
    tasks = [scenario.population.task == task for task in range(len(scenario.population.names))]
    found = [_mean(values[rows], scenario.population.cluster[rows]) for rows in tasks]
    return Truth(np.stack([one.mean for one in found]), np.stack([one.stderr for one in found]))


def truth(scenario: Scenario) -> Truth:
    """Value of every action per task type, and how far to trust it; NaN where never recorded."""
    return _by_task(scenario, scenario.table())


def gain(scenario: Scenario) -> Truth:
    """As `truth`, of each action minus the baseline, paired by problem."""
    table, home = scenario.table(), scenario.baseline[scenario.population.task]
    return _by_task(scenario, table - table[np.arange(len(table)), home][:, None])


def line_error(scenario: Scenario, axis: str, *, recorded: NDArray[np.bool_]) -> str:
    """In words, how far recorded values lie from the straight line between their recorded neighbours.

    Args:
        scenario: with its truth.
        axis: along which the lines run.
        recorded: (tasks, actions) what is recorded, not interpolated.
    """
    table, gaps, chance = scenario.table(), [], []
    for task in range(len(scenario.population.names)):
        rows = scenario.population.task == task
        spots, held = inner(scenario.lattice, recorded[task], axis), table[rows]
        line = (1.0 - spots.weight) * held[:, spots.low] + spots.weight * held[:, spots.high]
        missed = _mean(held[:, spots.action] - line, scenario.population.cluster[rows])
        gaps.append(missed.mean)
        chance.append(missed.stderr)
    size = np.concatenate(gaps)
    if not size.size:
        return f"Along {axis} no recorded value lies between two others, so the straight line was not put to the test."
    typical, by_chance = (float(np.sqrt(np.mean(part**2))) for part in (size, np.concatenate(chance)))
    return (
        f"Left out one at a time, {size.size} recorded values lie {typical:.3g} (reward, root mean square) from the "
        f"straight line between their neighbours along {axis}; chance alone would give {by_chance:.3g}."
    )
