"""What many runs on many tasks amount to: robust summaries, profiles, probability of improvement.

Summaries take one array per task, (..., runs), and work on the last axis, so that a bootstrap
hands them all its replications at once. The interquartile mean and the profiles pool runs over
tasks: where tasks have different numbers of runs, one with more runs weighs more in the
interquartile mean alone; everywhere else each task counts once.
Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep reinforcement learning at
the edge of the statistical precipice", section 4; Mann & Whitney (1947).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from evaluators.resampling import REPLICATIONS, Interval, Statistic, Tasks, by_task, counts, percentile
from evaluators.rows import Floats

TRIMMED = 0.25  # share cut from either end by the interquartile mean


def _task_means(tasks: Tasks) -> Floats:
    """(..., tasks)."""
    return np.stack([task.mean(axis=-1) for task in tasks], axis=-1)


def mean(tasks: Tasks) -> Floats:
    """Mean over tasks of the mean over runs, (...).

    >>> float(mean(by_task([[1, 1], [2, 2], [3, 3]])))
    2.0
    """
    return np.asarray(_task_means(tasks).mean(axis=-1))


def median(tasks: Tasks) -> Floats:
    """Median over tasks of the mean over runs, (...); one task in the middle decides, so prefer the others.

    >>> float(median(by_task([[1, 2, 9]])))
    2.0
    """
    return np.asarray(np.median(_task_means(tasks), axis=-1))


def interquartile_mean(tasks: Tasks) -> Floats:
    """Mean of the middle half of all runs of all tasks, (...); floor(n / 4) runs are cut at either end.

    >>> float(interquartile_mean(by_task([[0.0], [1.0], [2.0], [30.0]])))
    1.5
    """
    pooled = np.sort(np.concatenate(tasks, axis=-1), axis=-1)
    cut = int(TRIMMED * pooled.shape[-1])
    return np.asarray(pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1))


def optimality_gap(tasks: Tasks, *, target: float = 1.0) -> Floats:
    """How far runs stay below a target score on average, (...); what exceeds it earns nothing, 0 is best.

    >>> float(optimality_gap(by_task([[0.5, 3.0]])))
    0.25
    """
    return np.asarray(target - mean(tuple(np.minimum(task, target) for task in tasks)))


def run_profile(thresholds: ArrayLike) -> Statistic:
    """Share of runs above each threshold, averaged over tasks: a statistic (..., runs) -> (..., points).

    >>> run_profile([0.0, 1.5])(by_task([[1, 2], [2, 2]])).tolist()
    [1.0, 0.75]
    """
    points = np.asarray(thresholds, dtype=np.float64)

    def profile(tasks: Tasks) -> Floats:
        return np.stack([mean(tuple(np.asarray(task > tau, np.float64) for task in tasks)) for tau in points], axis=-1)

    return profile


def average_profile(thresholds: ArrayLike) -> Statistic:
    """Share of tasks whose mean over runs lies above each threshold: a statistic (..., runs) -> (..., points).

    >>> average_profile([1.25, 1.75])(by_task([[1, 2], [2, 2]])).tolist()
    [1.0, 0.5]
    """
    points = np.asarray(thresholds, dtype=np.float64)

    def profile(tasks: Tasks) -> Floats:
        return np.asarray((_task_means(tasks)[..., None] > points).mean(axis=-2))

    return profile


def superiority(x: Floats, y: Floats) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of runs: the Mann-Whitney U divided by n_x n_y.

    Args:
        x: (n_x,) scores.
        y: (n_y,) scores to beat.

    >>> superiority(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    0.375
    """
    ranked = np.sort(y)
    below = np.searchsorted(ranked, x, side="left").sum() + np.searchsorted(ranked, x, side="right").sum()
    return float(below) / (2 * x.size * y.size)


def probability_of_improvement(x: ArrayLike | Sequence[ArrayLike], y: ArrayLike | Sequence[ArrayLike]) -> float:
    """Probability that a run of X beats a run of Y on a task drawn at random; a tie counts a half.

    Args:
        x: (runs, tasks) or one array per task.
        y: the same tasks in the same order; numbers of runs may differ.

    Raises:
        ValueError: as `by_task`, or different numbers of tasks.
    """
    pairs = _pairs(x, y)
    return float(np.mean([superiority(mine, theirs) for mine, theirs in pairs]))


def improvement_interval(
    rng: np.random.Generator,
    x: ArrayLike | Sequence[ArrayLike],
    *,
    y: ArrayLike | Sequence[ArrayLike],
    replications: int = REPLICATIONS,
    confidence: float = 0.95,
) -> Interval:
    """`probability_of_improvement` with its stratified bootstrap interval; X and Y are drawn independently.

    Args:
        rng: source of the draws.
        x: (runs, tasks) or one array per task.
        y: the same tasks in the same order.
        replications: bootstrap replications.
        confidence: two-sided.

    Raises:
        ValueError: as `probability_of_improvement` and `percentile`.
    """
    total = np.zeros(replications)
    pairs = _pairs(x, y)
    for mine, theirs in pairs:
        wins = (np.sign(mine[:, None] - theirs) + 1) / 2
        drawn = counts(rng, mine.size, replications=replications) @ wins
        total += (drawn * counts(rng, theirs.size, replications=replications)).sum(axis=1) / wins.size
    value = np.mean([superiority(mine, theirs) for mine, theirs in pairs])
    return percentile(value, total / len(pairs), confidence=confidence)


def _pairs(x: ArrayLike | Sequence[ArrayLike], y: ArrayLike | Sequence[ArrayLike]) -> list[tuple[Floats, Floats]]:
    mine, theirs = by_task(x), by_task(y)
    if len(mine) != len(theirs):
        raise ValueError(f"x has {len(mine)} tasks and y {len(theirs)}, need the same tasks in the same order")
    return list(zip(mine, theirs, strict=True))
