"""Inverse propensity scoring: what a target would have earned, from another policy's log.

Unbiased when the logger could take every action the target may take; the price is variance, so
read `ess` before `value`. Shifting all rewards by c does not shift it by c (see `snips`).
Source: Horvitz & Thompson (1952); Dudik, Langford & Li (2011), section 3.
"""

from dataclasses import dataclass, field

from evaluators.finishing import finished
from evaluators.rows import Estimate, Rows
from evaluators.sums import WEIGHT, WEIGHTED_REWARD, Sums
from evaluators.sums import sums as sums_of

__all__ = ["Params", "estimate", "finish"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})


def estimate(params: Params, rows: Rows) -> Estimate:
    """Mean of w r, with a Student-t interval on the per-row terms.

    Args:
        params: confidence of the interval.
        rows: one target on one log, n rows; no reward model needed.

    Raises:
        ValueError: as `rows.check`.
        TypeError: as `rows.check`.
    """
    return finish(params, sums_of(rows))


def finish(params: Params, sums: Sums) -> Estimate:
    """The same from (merged) sums; infinite standard error if no row has weight."""
    value = sums.origin + sums.ips.mean()
    variance = sums.ips.variance() / sums.ips.n if sums.weights.square > 0 else float("inf")
    total = None
    if sums.clusters is not None:
        table = sums.clusters.table
        total = table[:, WEIGHTED_REWARD] + sums.origin * table[:, WEIGHT]
    return finished(sums, value, variance=variance, confidence=params.confidence, cluster_total=total)
