"""Student's t on the scores, or on the linearised terms of a ratio: the textbook's interval.

Cheap, and needs nothing but the scores. On heavy-tailed doubly robust scores (design ESS/n = 0.12)
its one-sided 95 % lower bound errs 10 % of the time at n = 200 and 9 % at n = 2,000.
Source: Student (1908); Hesterberg (1995) for the linearised ratio.
"""

from dataclasses import dataclass

import numpy as np

from evaluators.adjusting import cluster_variance, clustered, mean, score_variance
from evaluators.quantiles import Interval, t_interval
from evaluators.rows import Floats
from evaluators.sums import PART, TERM, Sums, U

__all__ = ["Params", "bounds", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """No numbers of its own."""


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset()


def bounds(_: Params, sums: Sums, confidence: float) -> Interval:
    """Mean score +- t standard errors with n - 1 degrees of freedom, G - 1 with clusters.

    Args:
        sums: of one log or many, of any estimator.
        confidence: two-sided.

    Raises:
        ValueError: confidence outside (0, 1).
    """
    value = mean(sums)
    if sums.is_ratio:
        variance, df = ratio_variance(sums, value)
    else:
        variance, df = clustered(sums, score_variance(sums) / sums.n, df=sums.n - 1)
    return t_interval(value, variance, df=df, confidence=confidence)


def ratio_variance(sums: Sums, value: Floats) -> tuple[Floats, int]:
    """Variance of mean(part) + sum(u e) / sum(u) by its linearised terms, and degrees of freedom."""
    n, gram = sums.n, sums.gram
    total = np.asarray(gram[..., 0, U])
    scale = np.divide(n, total, out=np.full_like(total, np.inf), where=total > 0)
    rest = value - gram[..., 0, PART] / n
    # d_i = part_i - mean(part) + (u_i e_i - rest u_i) scale: a quadratic form of the Gram matrix
    with np.errstate(invalid="ignore"):
        form = np.stack([-gram[..., 0, PART] / n, np.ones_like(scale), 0 * scale, scale, -rest * scale], axis=-1)
        square = np.einsum("...i,...ij,...j->...", form, gram, form)
    variance = np.where(total > 0, np.maximum(square, 0.0) / (n * max(n - 1, 1)), np.inf)
    if n < 2:
        variance = np.full_like(variance, np.inf)
    if sums.clusters is None or not total > 0:
        return variance, n - 1
    table = sums.clusters.table
    gap = table[:, PART] - table[:, 0] * gram[0, PART] / n + (table[:, TERM] - rest * table[:, U]) * scale
    return np.maximum(variance, cluster_variance(table[:, 0], gap)), min(n, table.shape[0]) - 1
