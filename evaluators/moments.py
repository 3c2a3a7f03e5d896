"""Sums that merge: first two moments of a quantity, and totals per cluster.

Merging is addition, so any partition of a log gives the same result up to rounding. Sum values
about an origin near their mean: the variance is a difference of sums.
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, Ints


class Moments(NamedTuple):
    """First two sums of one per-row quantity, about an origin its owner knows."""

    n: int
    total: float
    square: float

    def mean(self) -> float:
        """Mean about the origin."""
        return self.total / self.n

    def variance(self) -> float:
        """Sample variance (n - 1); infinite for a single row."""
        if self.n < 2:
            return float("inf")
        return max(self.square - self.total**2 / self.n, 0.0) / (self.n - 1)


class Clusters(NamedTuple):
    """Sums per cluster; a cluster may be split over shards."""

    label: Ints  # (g,) ascending
    table: Floats  # (g, c) one column per quantity; the first counts rows


def moments(values: Floats) -> Moments:
    """Sums of (n,) values and of their squares.

    >>> moments(np.array([1.0, 3.0])).variance()
    2.0
    """
    return Moments(values.size, float(values.sum()), float(values @ values))


def merge_moments(left: Moments, right: Moments) -> Moments:
    """Moments of two disjoint sets of rows as moments of their union."""
    return Moments(left.n + right.n, left.total + right.total, left.square + right.square)


def cluster_totals(label: Ints, columns: tuple[Floats, ...]) -> Clusters:
    """Count rows and sum each (n,) column within the clusters of `label` (n,).

    >>> cluster_totals(np.array([7, 3, 7]), (np.array([1.0, 2.0, 4.0]),)).table
    array([[1., 2.],
           [2., 5.]])
    """
    distinct, index = np.unique(label, return_inverse=True)
    count = np.bincount(index, minlength=distinct.size).astype(np.float64)
    sums = [np.bincount(index, weights=column, minlength=distinct.size) for column in columns]
    return Clusters(distinct, np.stack([count, *sums], axis=1))


def merge_clusters(left: Clusters, right: Clusters) -> Clusters:
    """Cluster totals of two disjoint sets of rows as those of their union."""
    label = np.concatenate([left.label, right.label])
    table = np.concatenate([left.table, right.table])
    distinct, index = np.unique(label, return_inverse=True)
    merged = np.zeros((distinct.size, table.shape[1]))
    np.add.at(merged, index, table)
    return Clusters(distinct, merged)
