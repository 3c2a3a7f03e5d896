"""Sums that merge are the sums of the union."""

import numpy as np

from evaluators.moments import cluster_totals, merge_clusters, merge_moments, moments


def test_moments_give_numpys_mean_and_variance() -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = moments(values)
    np.testing.assert_allclose(found.mean(), values.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.variance(), values.var(ddof=1), rtol=1e-12)


def test_one_row_has_no_known_variance() -> None:
    assert moments(np.array([3.0])).variance() == np.inf


def test_merged_moments_are_those_of_the_union() -> None:
    values = np.random.default_rng(1).normal(size=30)
    merged = merge_moments(moments(values[:7]), moments(values[7:]))
    np.testing.assert_allclose(merged, moments(values), rtol=1e-12)


def test_a_cluster_split_over_shards_is_one_cluster() -> None:
    rng = np.random.default_rng(2)
    label, values = rng.integers(10, 20, size=40), rng.normal(size=40)
    halves = [cluster_totals(label[part], (values[part],)) for part in (slice(15), slice(15, 40))]
    merged, whole = merge_clusters(*halves), cluster_totals(label, (values,))
    assert merged.label.tolist() == whole.label.tolist()
    np.testing.assert_allclose(merged.table, whole.table, rtol=1e-12, atol=1e-12)
