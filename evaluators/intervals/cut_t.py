"""Student's t on scores whose reward model is cut at k / weight: no heavy tail where it hurts a bound.

The lower end is made of lower cut scores, never below -k reward ranges, the upper end of upper ones
(`cut.py`): each as unbiased as the plain score, whatever the cut. Where design ESS/n = 0.12 and
k = 20 the one-sided 95 % lower bound errs 5 % at n = 200 and 1 % at n = 2,000, 1.07 and 1.09 times
as wide as plain t. A reward model whose level is far off breaks it: recalibrate before cutting.
Source: Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro (2022) for the cut.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.adjusting import cluster_variance, sample_variance
from evaluators.cut import cut_scores, cut_tables
from evaluators.quantiles import Interval, t_interval
from evaluators.rows import Floats, Rows
from evaluators.sums import Sums, U

__all__ = ["Params", "bounds", "columns", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """Where the reward model is cut; 0 leaves importance-weighted rewards, and needs no model."""

    cut: float = field(default=20.0, metadata={"ge": 0.0, "le": 1e6, "unit": "reward ranges"})


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset({"columns"})


def columns(params: Params, rows: Rows) -> Floats:
    """(2, n) lower and upper cut scores of the rows' target, reward units about the middle of the range.

    Raises:
        ValueError: no declared range, or a cut above 0 without a reward model or without the logger's
            whole distribution.
    """
    cuts = (params.cut,)
    lower, upper = cut_scores(cut_tables(rows, cuts), rows)
    lo, hi = rows.reward_range or (0.0, 1.0)  # cut_tables has refused None
    return np.asarray((hi - lo) * (np.concatenate([lower, upper]) - 0.5))


def bounds(_: Params, sums: Sums, confidence: float) -> Interval:
    """Mean lower score - t stderr, mean upper score + t stderr; n - 1 degrees of freedom, G - 1 with clusters.

    Args:
        sums: with `columns` among them; the interval is for the target's value, by whatever estimator.
        confidence: two-sided.

    Raises:
        ValueError: sums without the columns, such as those of a difference; or confidence outside (0, 1).
    """
    total, square = column_sums(sums)
    mean, variance = total / sums.n, sample_variance(total, square, sums.n) / sums.n
    df = sums.n - 1
    if sums.clusters is not None:
        table = sums.clusters.table
        robust = np.array([cluster_variance(table[:, 0], table[:, U + 1 + side]) for side in (0, 1)])
        variance, df = np.maximum(variance, robust), min(df, len(table) - 1)
    below, above = (t_interval(mean[..., i], variance[..., i], df=df, confidence=confidence) for i in (0, 1))
    value = mean.mean(axis=-1)
    lo, hi = np.minimum(below.lo, value), np.maximum(above.hi, value)
    return Interval(value, np.maximum(below.stderr, above.stderr), lo, hi)


def column_sums(sums: Sums) -> tuple[Floats, Floats]:
    """(..., 2) sums and sums of squares of the lower and the upper scores.

    Raises:
        ValueError: sums made for another interval, or for a difference of two policies.
    """
    if sums.extra is None:
        raise ValueError(
            "the interval needs sums of cut scores, got none: a difference has no cut scores, use half_model or hall; "
            "for a value name the interval as the estimator's before `estimation.summarise`"
        )
    return sums.extra[..., 0], sums.extra[..., 1]
