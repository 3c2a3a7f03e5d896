"""Are promised probabilities kept? Logged frequency against promised propensity, and a chi-square.

Every slot of every window is put in a bin by its promised probability. A row hits one bin, with the
probability that the bin's slots hold together, so the hits are a sum of multinomials whose covariance
is known exactly: the chi-square uses all of it. The hits are martingale sums, so the test holds for
loggers that learn. Bins with a variance below 10 hits^2 are pooled with their neighbours, which the
promises alone decide. `propensity.check_cells` asks the same per action; this asks per size of p.

Measured with 50 actions, false alarms at a nominal 4 % / 0.5 %: 4.0 % / 0.60 % (200 rows, 4,000 logs),
3.6 % / 0.45 % (2,000 rows, 2,000 logs). Found at 4 % in 2,000 rows (500 logs): a tenth of the traffic
drawn uniformly in 97 %, p sharpened to p^1.25 always, to p^1.1 in 79 %; in 200 rows 16, 60 and 11 %.
Source: Pearson (1900) with the multinomial covariance.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from evaluators.rows import Floats, Rows

EDGES = np.array([1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.97])  # bin = edges <= p
MIN_VARIANCE = 10.0  # hits^2 of a bin: what a normal tail asks for
MIN_EIGENVALUE = 1.0  # hits^2: directions that hardly vary are not judged


class PromiseSums(NamedTuple):
    """Mergeable sums per bin of promised probability."""

    hits: Floats  # (b,) logged slots in the bin
    expected: Floats  # (b,) sum of promises
    covariance: Floats  # (b, b) of the hits, if the promises are true


class PromiseBin(NamedTuple):
    """One line of the calibration table."""

    lo: float
    hi: float
    promised: float  # hits expected
    observed: float  # hits
    stderr: float  # of the hits, if the promises are true


class Kept(NamedTuple):
    """Whether the promises were kept."""

    p_value: float  # 1 where nothing can be judged
    statistic: float
    df: int  # 0: the log is too short or its logger too certain to be judged
    worst: PromiseBin | None  # the pooled bin furthest off, in standard errors


def promise_sums(rows: Rows) -> PromiseSums:
    """Sum promises and hits per bin.

    Args:
        rows: checked rows whose logger is known at every slot.

    Raises:
        ValueError: the rows are partial.
    """
    if rows.is_partial:
        raise ValueError("behavior is known at the logged slot only; calibration needs the whole window's")
    (c, _), b = rows.behavior.shape, EDGES.size + 1
    index = np.searchsorted(EDGES, rows.behavior, side="right")
    flat = (np.arange(c)[:, None] * b + index).ravel()
    per_row = np.bincount(flat, rows.behavior.ravel(), minlength=c * b).reshape(c, b)
    times = np.ones(c) if rows.row is None else np.bincount(rows.row, minlength=c).astype(np.float64)
    expected = times @ per_row
    met = np.searchsorted(EDGES, rows.at(rows.behavior), side="right")
    hits = np.bincount(met, minlength=b).astype(np.float64)
    return PromiseSums(hits, expected, np.diag(expected) - per_row.T @ (per_row * times[:, None]))


def merge(left: PromiseSums, right: PromiseSums) -> PromiseSums:
    """Sums of two disjoint sets of rows as those of their union."""
    return PromiseSums(*(a + b for a, b in zip(left, right, strict=True)))


def table(sums: PromiseSums) -> tuple[PromiseBin, ...]:
    """The calibration table, pooled bins of rising promise, for a figure."""
    bounds = np.concatenate([[0.0], EDGES, [1.0]])
    stops = _pools(sums)
    lines = []
    for begin, end in zip([0, *stops[:-1]], stops, strict=True):
        pool = slice(begin, end)
        variance = max(float(sums.covariance[pool, pool].sum()), 0.0)
        promised, observed = float(sums.expected[pool].sum()), float(sums.hits[pool].sum())
        lines.append(PromiseBin(float(bounds[begin]), float(bounds[end]), promised, observed, variance**0.5))
    return tuple(lines)


def _pools(sums: PromiseSums) -> list[int]:
    """Ends of runs of neighbouring bins, each of enough variance; the last takes what is left."""
    stops, begin, b = [], 0, sums.hits.size
    for end in range(1, b + 1):
        if sums.covariance[begin:end, begin:end].sum() >= MIN_VARIANCE:
            stops.append(end)
            begin = end
    return [*stops[:-1], b] if stops else [b]


def check_promises(sums: PromiseSums) -> Kept:
    """Chi-square of all pooled bins at once.

    Args:
        sums: (merged) sums.
    """
    stops = _pools(sums)
    begins = [0, *stops[:-1]]
    gap = np.add.reduceat(sums.hits - sums.expected, begins)
    covariance = np.add.reduceat(np.add.reduceat(sums.covariance, begins, axis=0), begins, axis=1)
    scale, direction = np.linalg.eigh(covariance)
    judged = scale >= MIN_EIGENVALUE
    if not judged.any():
        return Kept(1.0, 0.0, 0, None)
    along = (gap @ direction)[judged]
    statistic, df = float((along**2 / scale[judged]).sum()), int(judged.sum())
    lines = table(sums)
    worst = max(lines, key=lambda line: abs(line.observed - line.promised) / max(line.stderr, 1e-9))
    return Kept(float(chdtrc(df, statistic)), statistic, df, worst)
