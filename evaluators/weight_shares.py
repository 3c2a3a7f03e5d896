"""How much of an estimate hangs on its heaviest weights: a histogram that merges, and its reading.

Rows are counted in log-spaced bins of their weight, so 10^8 rows in any number of shards need three
columns of 3,074 numbers. The share of the top 1 % is then read off, with the error that the bin at
the boundary leaves; `exact_top_share` sorts rows in memory instead. Rows of equal weight count alike.
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, Ints

TOP = 0.01  # share of the rows called the top
PER_OCTAVE, FIRST_OCTAVE, LAST_OCTAVE = 64, -16, 32  # weights of one bin differ by at most 1.1 %
N_BINS = PER_OCTAVE * (LAST_OCTAVE - FIRST_OCTAVE) + 2  # one for 0 and what is below, one for what is above


class WeightShares(NamedTuple):
    """Mergeable sums per bin of the weight, light to heavy."""

    n: Floats  # (b,) rows
    weight: Floats  # (b,) sum of w
    value: Floats  # (b,) sum of |w r|, reward units


class TopShare(NamedTuple):
    """What the heaviest weights carry, as shares of the whole; the exact shares are within `error`."""

    weight: float  # of sum w
    value: float  # of sum |w r|; of sum w where every reward is 0
    weight_error: float
    error: float  # of `value`


def weight_shares(weight: Floats, term: Floats) -> WeightShares:
    """Fill the histogram with some rows.

    Args:
        weight: (n,) importance weights of the logged slots, >= 0.
        term: (n,) what each row adds to the estimate, e.g. w r; signs are dropped.

    Raises:
        ValueError: a weight that is negative or not finite.
    """
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"weights run from {weight.min():.6g} to {weight.max():.6g}, need finite numbers >= 0")
    return _per_bin(_bins(weight), weight, term, n_bins=N_BINS)


def _bins(weight: Floats) -> Ints:
    octave = np.log2(weight, out=np.full_like(weight, -np.inf), where=weight > 0)
    place = np.clip((octave - FIRST_OCTAVE) * PER_OCTAVE, -1.0, N_BINS - 2.0)
    return np.asarray(np.floor(place), np.int64) + 1


def _per_bin(index: Ints, weight: Floats, term: Floats, *, n_bins: int) -> WeightShares:
    columns = (None, weight, np.abs(term))
    return WeightShares(*(np.bincount(index, column, minlength=n_bins).astype(np.float64) for column in columns))


def merge(left: WeightShares, right: WeightShares) -> WeightShares:
    """Histograms of two disjoint sets of rows as that of their union."""
    return WeightShares(*(a + b for a, b in zip(left, right, strict=True)))


def top_share(shares: WeightShares, top: float = TOP) -> TopShare:
    """What the heaviest `top` of all rows carry, within the histogram's stated error.

    Args:
        shares: (merged) histogram.
        top: share of the rows, 0 < top <= 1.

    Raises:
        ValueError: `top` outside (0, 1], or an empty histogram.
    """
    total = shares.n.sum()
    if not (0 < top <= 1 and total > 0):
        raise ValueError(f"top = {top:.6g} of {total:.0f} rows, need 0 < top <= 1 of at least one row")
    above = shares.n[::-1].cumsum()[::-1] - shares.n  # rows in heavier bins
    taken = np.clip(top * total - above, 0.0, shares.n) / np.maximum(shares.n, 1.0)
    by_weight, weight_error = _carried(taken, shares.weight)
    by_value, error = _carried(taken, shares.value if shares.value.sum() > 0 else shares.weight)
    return TopShare(by_weight, by_value, weight_error, error)


def _carried(taken: Floats, column: Floats) -> tuple[float, float]:
    total = float(column.sum())
    if total == 0:
        return 0.0, 0.0
    # the rows taken of the bin at the boundary may carry anything from nothing to all it holds
    doubt = np.where((taken > 0) & (taken < 1), np.maximum(taken, 1 - taken), 0.0)
    return float(taken @ column) / total, float(doubt @ column) / total


def exact_top_share(weight: Floats, term: Floats, *, top: float = TOP) -> TopShare:
    """The same by sorting rows in memory; no error.

    Args:
        weight: (n,) importance weights, >= 0.
        term: (n,) what each row adds to the estimate.
        top: share of the rows.

    Raises:
        ValueError: as `top_share`.

    >>> exact_top_share(np.array([1.0, 1.0, 2.0, 6.0]), np.array([1.0, 1.0, 2.0, 4.0]), top=0.25).value
    0.5
    """
    distinct, index = np.unique(weight, return_inverse=True)
    found = top_share(_per_bin(index, weight, term, n_bins=distinct.size), top)
    return found._replace(weight_error=0.0, error=0.0)
