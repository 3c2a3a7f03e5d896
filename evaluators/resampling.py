"""Stratified bootstrap: how far a summary of few runs on many tasks may be off.

Runs are drawn again within each task, never across tasks, and every replication is summarised
anew; the interval is the percentile one. The tasks are taken as given (they are the benchmark,
not a sample of it) and runs of a task as independent. With fewer than about ten runs per task
percentile intervals are too short.
Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), section 4.1; Efron (1979).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluators.rows import Floats, Ints

REPLICATIONS = 2000

Tasks = tuple[Floats, ...]  # per task (..., runs); replications stand in front
Statistic = Callable[[Tasks], Floats]


class Interval(NamedTuple):
    """A summary with its percentile interval, () or (points,) each, in the unit of the scores."""

    value: Floats
    lo: Floats
    hi: Floats


def by_task(scores: ArrayLike | Sequence[ArrayLike]) -> Tasks:
    """Scores as one array per task, checked.

    Args:
        scores: (runs, tasks), or a list of one (runs of the task,) per task where counts differ.

    Raises:
        ValueError: no task, a task without runs, another shape, or a score that is not finite.

    >>> [task.tolist() for task in by_task([[1.0, 2.0], [3.0, 4.0]])]
    [[1.0, 3.0], [2.0, 4.0]]
    >>> [task.tolist() for task in by_task([np.ones(1), np.zeros(2)])]
    [[1.0], [0.0, 0.0]]
    """
    is_ragged = not isinstance(scores, np.ndarray) and any(isinstance(task, np.ndarray) for task in _items(scores))
    matrix = None if is_ragged else np.asarray(scores, dtype=np.float64)
    if matrix is not None and matrix.ndim != 2:
        raise ValueError(f"scores have the shape {matrix.shape}, need (runs, tasks) or a list of one array per task")
    columns = _items(scores) if matrix is None else list(matrix.T)
    tasks = tuple(np.array(task, dtype=np.float64) for task in columns)
    if not tasks:
        raise ValueError("scores hold no task, need one at least")
    for i, task in enumerate(tasks):
        if task.ndim != 1 or not task.size or not np.isfinite(task).all():
            raise ValueError(
                f"scores of task {i} have the shape {task.shape} and {int((~np.isfinite(task)).sum())} entries that "
                "are not finite; need (runs,) finite numbers, one run at least; did a run fail?"
            )
    return tasks


def _items(scores: object) -> list[ArrayLike]:
    return list(scores) if isinstance(scores, list | tuple) else []


def redrawn(rng: np.random.Generator, tasks: Tasks, *, replications: int = REPLICATIONS) -> Tasks:
    """Runs drawn again with replacement within each task.

    Args:
        rng: source of the draws.
        tasks: per task (runs,).
        replications: how many times.

    Returns:
        per task (replications, runs).
    """
    return tuple(task[rng.integers(task.size, size=(replications, task.size))] for task in tasks)


def counts(rng: np.random.Generator, size: int, *, replications: int = REPLICATIONS) -> Ints:
    """How often each of `size` runs is drawn in each replication, (replications, size); rows sum to `size`.

    For summaries that are linear in the runs: a matrix product then takes the place of gathering.
    """
    drawn = rng.integers(size, size=(replications, size)) + size * np.arange(replications)[:, None]
    return np.bincount(drawn.ravel(), minlength=replications * size).reshape(replications, size)


def percentile(value: ArrayLike, draws: Floats, *, confidence: float = 0.95) -> Interval:
    """The percentile interval of replications (replications, ...) around the summary of the data.

    Raises:
        ValueError: `confidence` lies outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    tail = (1 - confidence) / 2
    lo, hi = np.quantile(draws, [tail, 1 - tail], axis=0)
    return Interval(np.asarray(value, dtype=np.float64), lo, hi)


def stratified(
    rng: np.random.Generator,
    scores: ArrayLike | Sequence[ArrayLike],
    *,
    statistic: Statistic,
    replications: int = REPLICATIONS,
    confidence: float = 0.95,
) -> Interval:
    """A summary of the runs with its stratified bootstrap interval.

    Args:
        rng: source of the draws; equal generators give equal intervals.
        scores: (runs, tasks) or one array per task.
        statistic: from per-task arrays (..., runs) to (...) or (..., points); those of
            `evaluators.aggregates` are.
        replications: bootstrap replications.
        confidence: two-sided.

    Raises:
        ValueError: as `by_task` and `percentile`.
    """
    tasks = by_task(scores)
    draws = statistic(redrawn(rng, tasks, replications=replications))
    return percentile(statistic(tasks), draws, confidence=confidence)
