"""Cluster totals that merge are those of the union."""

import numpy as np

from evaluators.clusters import cluster_totals, merge_clusters


def test_a_cluster_split_over_shards_is_one_cluster() -> None:
    rng = np.random.default_rng(2)
    label, values = rng.integers(10, 20, size=40), rng.normal(size=40)
    halves = [cluster_totals(label[part], (values[part],)) for part in (slice(15), slice(15, 40))]
    merged, whole = merge_clusters(*halves), cluster_totals(label, (values,))
    assert merged.label.tolist() == whole.label.tolist()
    np.testing.assert_allclose(merged.table, whole.table, rtol=1e-12, atol=1e-12)
