"""How answers scatter: the kind of noise, and how much of the variance lies between problems.

Repeated answers to one problem tell the two apart: their unbiased variance within problems,
pooled over the settings where quality stands on its plateau, against that of a right-or-wrong
answer at the same mean, m (1 - m). What is left lies between problems; `between` makes a
world with L levels of difficulty reproduce the variance within problems exactly.
Source: Searle, Casella & McCulloch (1992), chapter 3, variance components by moments.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.quality_noise import MAX_CHECKS
from experiments.calibration.fitting import Cells

__all__ = ["Difficulty", "NoiseKind", "fit_difficulty", "fit_spread", "kind_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEVELS = 16  # of hidden difficulty in the presets that are written
ROUNDED = 2e-3  # a third may be written as 0.333
SPREADS = (0.01, 0.6)  # the range of `envs.quality_noise.Params.spread`


class NoiseKind(NamedTuple):
    """`binomial` with its number of checks, or `graded` (checks 1)."""

    kind: str
    checks: int


class Difficulty(NamedTuple):
    """Where the variance of one task type's answers lies, on its plateau.

    Attributes:
        total: m (1 - m), the variance of right-or-wrong answers.
        observed: variance of the answers around their settings' means.
        within: unbiased variance within problems; NaN where no problem was answered twice.
        within_stderr: its standard error over problems.
        between: what a preset needs to reproduce `within`; 0 where it is not known.
        n_problems: problems answered at least twice.
        n_answers: their answers.
    """

    total: float
    observed: float
    within: float
    within_stderr: float
    between: float
    n_problems: int
    n_answers: int

    @property
    def ratio(self) -> float:
        """By how much asking the same problem again divides the variance."""
        return self.total / self.within if self.within > 0 else math.inf


def kind_of(scores: Floats) -> NoiseKind:
    """The noise that makes such scores: the fewest checks (at most 8) whose shares they all are, else graded.

    Args:
        scores: (n,) of 0..1.

    >>> kind_of(np.array([0.0, 1.0, 1.0])), kind_of(np.array([0.25, 0.5])), kind_of(np.array([0.123]))
    (NoiseKind(kind='binomial', checks=1), NoiseKind(kind='binomial', checks=4), NoiseKind(kind='graded', checks=1))
    """
    distinct = np.unique(scores)
    for checks in range(1, MAX_CHECKS + 1):
        if np.all(np.abs(distinct * checks - np.rint(distinct * checks)) <= ROUNDED * checks):
            return NoiseKind("binomial", checks)
    return NoiseKind("graded", 1)


def fit_difficulty(
    cells: Cells, y: Floats, problem: Ints, *, noise: NoiseKind, plateau: NDArray[np.bool_]
) -> Difficulty:
    """Variance components of one task type.

    Args:
        cells: settings and their means.
        y: (n,) scores.
        problem: (n,) problem of each.
        noise: of the scores.
        plateau: (m,) cells to use: quality is near its best there.
    """
    use = plateau[cells.of]
    mean, gap = cells.mean[cells.of][use], (y - cells.mean[cells.of])[use]
    largest = float(np.mean(mean * (1.0 - mean)))
    groups, group, count = np.unique(problem[use], return_inverse=True, return_counts=True)
    group, n_groups = group.reshape(-1), len(groups)
    scale = n_groups / max(n_groups - 1, 1)  # the settings' means were estimated on the same problems
    observed = scale * float(np.mean(gap**2))
    again = count >= 2
    if not again.any():
        return Difficulty(largest, observed, math.nan, math.nan, 0.0, 0, 0)
    centre = np.bincount(group, weights=gap) / count
    squares = np.bincount(group, weights=(gap - centre[group]) ** 2)[again]
    spare = (count - 1)[again].astype(np.float64)
    within = scale * float(squares.sum() / spare.sum())
    spread = squares - spare * squares.sum() / spare.sum()
    stderr = math.sqrt(float(np.sum(spread**2))) / float(spare.sum())
    grain = float(np.mean(_grain(mean)))
    apart = largest - noise.checks * within if noise.kind == "binomial" else observed - within
    between = float(np.clip(apart / max(largest - grain, 1e-12), 0.0, 1.0))
    return Difficulty(largest, observed, within, stderr, between, int(again.sum()), int(count[again].sum()))


def _grain(mean: Floats) -> Floats:
    """What finitely many levels cannot spread: f (1 - f) / L, f the part of L m beyond a whole number."""
    part = LEVELS * mean - np.floor(LEVELS * mean)
    return np.asarray(part * (1.0 - part) / LEVELS)


def fit_spread(found: list[Difficulty]) -> float:
    """The graded noise's spread: variance within problems over that of right-or-wrong answers there, 0.01..0.6."""
    shares = []
    for one in found:
        within = one.within if math.isfinite(one.within) else one.observed
        shares.append(within / max(one.total - (one.observed - within), 1e-12))
    return float(np.clip(np.mean(shares), *SPREADS))
