"""Totals per cluster that merge: what a cluster-robust variance is made of."""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, Ints


class Clusters(NamedTuple):
    """Sums per cluster; a cluster may be split over shards."""

    label: Ints  # (g,) ascending
    table: Floats  # (g, c) one column per quantity; the first counts rows


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
