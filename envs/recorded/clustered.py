"""Means of recorded answers over problems, with standard errors clustered by problem.

Every number is a mean over the units of a task type of something linear in their cells' means, an
interpolated action included, so one formula serves: the sum over problems of the squared sums
of deviations, times G / (G - 1) for G problems. What two actions share of a problem cancels in
it as it should. Source: Liang & Zeger (1986), for a mean.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.recorded.interpolation import inner
from envs.world import Scenario

__all__ = ["Truth", "gain", "line_error", "truth"]

Floats = NDArray[np.float64]


class Truth(NamedTuple):
    """(tasks, actions) mean over a task type's units and its standard error; NaN where never recorded."""

    mean: Floats
    stderr: Floats


def _mean(values: Floats, weight: Floats, cluster: NDArray[np.int32]) -> Truth:
    """Weighted mean of values (n, m) over their n units and its standard error, (m,) each; weights (n,) sum to 1."""
    groups, of = np.unique(cluster, return_inverse=True)
    mean, n_groups = weight @ values, len(groups)
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, of.reshape(-1), weight[:, None] * (values - mean))
    scale = n_groups / (n_groups - 1) if n_groups > 1 else np.nan
    return Truth(mean, np.sqrt(scale * np.sum(sums**2, axis=0)))


def _members(scenario: Scenario, task: int, t: int) -> tuple[NDArray[np.bool_], Floats, NDArray[np.int32]]:
    """(n,) who is of a task type, their share of its traffic at evaluation t, their problems."""
    rows = scenario.population.task == task
    weight = scenario.weights(t=t)[rows]
    total = weight.sum()
    even = np.full(len(weight), 1.0 / len(weight))
    return rows, weight / total if total > 0 else even, scenario.population.cluster[rows]


def _by_task(scenario: Scenario, values: Floats, t: int) -> Truth:
    """Mean of values (n, actions) over each task type's units, as the traffic asks for them at evaluation t."""
    found = []
    for task in range(len(scenario.population.names)):
        rows, weight, cluster = _members(scenario, task, t)
        found.append(_mean(values[rows], weight, cluster))
    return Truth(np.stack([one.mean for one in found]), np.stack([one.stderr for one in found]))


def truth(scenario: Scenario, *, t: int = 0) -> Truth:
    """Value of every action per task type, and how far to trust it; NaN where never recorded.

    Args:
        scenario: of recorded answers.
        t: evaluation; the traffic may drift, the answers do not.
    """
    return _by_task(scenario, scenario.table(t=t), t)


def gain(scenario: Scenario, *, t: int = 0) -> Truth:
    """As `truth`, of each action minus the baseline, paired by problem."""
    table, home = scenario.table(t=t), scenario.baseline[scenario.population.task]
    return _by_task(scenario, table - table[np.arange(len(table)), home][:, None], t)


def line_error(scenario: Scenario, axis: str, *, recorded: NDArray[np.bool_]) -> str:
    """In words, how far recorded values lie from the straight line between their recorded neighbours.

    Args:
        scenario: with its truth.
        axis: along which the lines run.
        recorded: (tasks, actions) what is recorded, not interpolated.
    """
    table, gaps, chance = scenario.table(), [], []
    for task in range(len(scenario.population.names)):
        rows, weight, cluster = _members(scenario, task, 0)
        spots, held = inner(scenario.lattice, recorded[task], axis), table[rows]
        line = (1.0 - spots.weight) * held[:, spots.low] + spots.weight * held[:, spots.high]
        missed = _mean(held[:, spots.action] - line, weight, cluster)
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
