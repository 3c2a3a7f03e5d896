"""Are the logged propensities the truth? Compare how often each cell was hit with its promise.

Per cell (an action, a window slot) z = sum(1{A=a} - p(a)) / sqrt(sum p(a)(1 - p(a))). The sum is a
martingale, so the test holds for loggers that learn. Cells whose variance is below 25 are pooled: a
normal tail is no judge of a few hits. Pooling ignores that cells of one row exclude each other,
which overstates the variance: conservative. A pool still below 25 is judged by Freedman's
inequality instead of a normal tail. A hit where the log promised zero rejects outright.
Source: Freedman (1975), theorem 1.6; Holm (1979) over the cells.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import erfc

from evaluators.rows import Floats, Ints
from evaluators.shares import holm

LEVEL = 0.001  # family-wise false alarm rate of `holds`
MIN_VARIANCE = 25.0  # hits^2: cells below are pooled


class Tally(NamedTuple):
    """Mergeable sums per cell."""

    hits: Floats  # (c,) times the cell was drawn
    expected: Floats  # (c,) sum of its propensities
    variance: Floats  # (c,) sum of p (1 - p)


class PropensityCheck(NamedTuple):
    """Whether the hits are what the propensities promised."""

    max_abs_z: float  # over cells of variance >= 25; infinite for a hit where p was 0
    p_value: float  # smallest Holm-adjusted two-sided p
    n_cells: int  # cells tested, the pool included
    holds: bool  # p_value >= 0.001


def tally(propensity: Floats, slot: Ints, *, cell: Ints, n_cells: int) -> Tally:
    """Sum hits and promises per cell.

    Args:
        propensity: (n, k) of the whole window, 0 where infeasible.
        slot: (n,) logged slot.
        cell: (k,) or (n, k) cell of each slot: its action id, or the slot itself.
        n_cells: cells in all.

    Raises:
        ValueError: a slot or a cell out of range, or shapes that disagree.

    >>> tally(np.array([[0.25, 0.75]]), np.array([1]), cell=np.arange(2), n_cells=2).variance
    array([0.1875, 0.1875])
    """
    n, k = propensity.shape
    if slot.shape != (n,) or cell.shape not in ((k,), (n, k)):
        raise ValueError(f"slot has shape {slot.shape} and cell {cell.shape}, need ({n},) and ({k},) or {(n, k)}")
    if slot.min() < 0 or slot.max() >= k or cell.min() < 0 or cell.max() >= n_cells:
        raise ValueError(f"need 0 <= slot < {k} and 0 <= cell < {n_cells}")
    cells = np.broadcast_to(cell, (n, k))

    def total(index: Ints, weight: Floats | None = None) -> Floats:
        return np.bincount(index, weights=weight, minlength=n_cells).astype(np.float64)

    return Tally(
        hits=total(cells[np.arange(n), slot]),
        expected=total(cells.ravel(), propensity.ravel()),
        variance=total(cells.ravel(), (propensity * (1 - propensity)).ravel()),
    )


def merge(left: Tally, right: Tally) -> Tally:
    """Tallies of two sets of rows over the same cells as that of their union."""
    return Tally(*(a + b for a, b in zip(left, right, strict=True)))


def check_cells(hits: Floats, expected: Floats, variance: Floats) -> PropensityCheck:
    """Test every cell, small ones pooled, at a family-wise false alarm rate of 0.001.

    Call it as `check_cells(*tally(...))`.

    Args:
        hits: (c,) times each cell was drawn.
        expected: (c,) sum of its propensities.
        variance: (c,) sum of p (1 - p).

    Returns:
        The check; with nothing to test (no cell ever random) it holds with n_cells = 0.

    Raises:
        ValueError: shapes that disagree, or a number that is negative or not finite.

    >>> half = np.array([50.0, 50.0])
    >>> check_cells(np.array([30.0, 70.0]), half, half / 2).holds
    False
    """
    hits, expected, variance = (np.asarray(v, dtype=np.float64) for v in (hits, expected, variance))
    for name, values in (("hits", hits), ("expected", expected), ("variance", variance)):
        if values.shape != hits.shape or not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(
                f"{name} must be finite, >= 0 and of shape {hits.shape}, like hits; "
                f"got shape {values.shape}, smallest {values.min(initial=np.inf):.6g}"
            )
    # p = 0 forbids a hit and p = 1 a miss: both leave no variance
    certain = variance <= 0
    if np.any(np.abs(hits - expected)[certain] > 1e-6):
        return PropensityCheck(float("inf"), 0.0, int(hits.size), False)
    large = variance >= MIN_VARIANCE
    small = ~large & ~certain
    gap, spread = (hits - expected)[large], variance[large]
    if small.any() and not large.any():  # a pool of everything would always be 0: each cell for itself
        gap, spread = (hits - expected)[small], variance[small]
    elif small.any():
        gap = np.append(gap, (hits - expected)[small].sum())
        spread = np.append(spread, variance[small].sum())
    if gap.size == 0:
        return PropensityCheck(0.0, 1.0, 0, True)
    normal = spread >= MIN_VARIANCE
    z = np.abs(gap) / np.sqrt(spread)
    p_values = holm(np.where(normal, erfc(z / np.sqrt(2)), _freedman(np.abs(gap), spread)))
    lowest = float(p_values.min())
    return PropensityCheck(float(z[normal].max(initial=0.0)), lowest, z.size, lowest >= LEVEL)


def _freedman(gap: Floats, variance: Floats) -> Floats:
    """(c,) bound on P(|martingale with steps <= 1| >= gap): valid for any variance > 0."""
    bound = 2 * np.exp(-(gap**2) / (2 * (variance + gap / 3)))
    return np.asarray(np.minimum(bound, 1.0))
