"""The last step every estimator shares: from a value and its variance to an `Estimate`.

With clusters the larger of the cluster-robust variance and the estimator's own is used, with
G - 1 degrees of freedom: it can only widen the interval.
"""

import numpy as np

from evaluators.intervals import cluster_variance, t_interval
from evaluators.moments import Clusters
from evaluators.rows import Estimate, Floats
from evaluators.sums import COUNT, Sums


def finished(sums: Sums, value: float, *, variance: float, confidence: float, cluster_total: Floats | None) -> Estimate:
    """Two-sided t interval of a value with n - 1 degrees of freedom, or G - 1 with clusters.

    Args:
        sums: where the value came from.
        value: point estimate, reward units.
        variance: of the value; infinite when unknown.
        confidence: two-sided confidence.
        cluster_total: (g,) sums of the row terms per cluster; None without clusters.

    Raises:
        ValueError: `confidence` lies outside (0, 1).
    """
    df = sums.weights.n - 1
    if sums.clusters is not None and cluster_total is not None:
        variance = max(variance, cluster_variance(sums.clusters.table[:, COUNT], cluster_total))
        df = min(df, sums.clusters.label.size - 1)
    stderr = float(np.sqrt(variance))
    lo, hi = t_interval(value, stderr, df=df, confidence=confidence)
    weights = sums.weights
    return Estimate(value, stderr, lo, hi, weights.ess(), weights.largest, weights.n)


def column(clusters: Clusters | None, index: int) -> Floats | None:
    """One column of the cluster table (g,), or None without clusters."""
    return None if clusters is None else clusters.table[:, index]
