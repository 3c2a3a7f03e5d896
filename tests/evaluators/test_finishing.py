"""Which variance and how many degrees of freedom an estimate ends with."""

import numpy as np
import pytest

from evaluators.finishing import column, finished
from evaluators.intervals import t_quantile
from evaluators.sums import sums


@pytest.fixture
def clustered(world):
    """120 rows in 6 clusters."""
    rows, _ = world.draw(np.random.default_rng(0), 120)
    return sums(rows._replace(cluster=np.arange(120) // 20))


def test_without_clusters_the_interval_has_n_minus_one_degrees_of_freedom(world) -> None:
    rows, _ = world.draw(np.random.default_rng(0), 120)
    found = finished(sums(rows), 0.5, variance=0.04, confidence=0.9, cluster_total=None)
    np.testing.assert_allclose(found.hi, 0.5 + 0.2 * t_quantile(0.95, 119), rtol=1e-12)


def test_the_larger_of_both_variances_counts_with_g_minus_one_degrees(clustered) -> None:
    # cluster totals 20 +- 40 over 6 clusters: 6/5 * 6 * 40^2 / 120^2 = 0.8
    total = 20 + 40.0 * np.array([1, -1, 1, -1, 1, -1])
    wide = finished(clustered, 1.0, variance=0.01, confidence=0.95, cluster_total=total)
    np.testing.assert_allclose(wide.stderr**2, 0.8, rtol=1e-12)
    np.testing.assert_allclose(wide.hi - 1.0, wide.stderr * t_quantile(0.975, 5), rtol=1e-12)
    own = finished(clustered, 1.0, variance=0.9, confidence=0.95, cluster_total=total)
    np.testing.assert_allclose(own.stderr**2, 0.9, rtol=1e-12)


def test_one_cluster_tells_nothing_about_the_error(world) -> None:
    rows, _ = world.draw(np.random.default_rng(0), 30)
    one = sums(rows._replace(cluster=np.zeros(30, dtype=np.int64)))
    found = finished(one, 0.5, variance=0.1, confidence=0.95, cluster_total=np.array([15.0]))
    assert (found.lo, found.hi, found.stderr) == (-np.inf, np.inf, np.inf)


def test_a_column_of_no_clusters_is_none(clustered) -> None:
    assert column(None, 0) is None
    np.testing.assert_array_equal(np.asarray(column(clustered.clusters, 0)), [20.0] * 6)
