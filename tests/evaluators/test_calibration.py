"""Kept promises pass at the nominal rate, broken ones do not, and the covariance is the exact one."""

import numpy as np
import pytest
from scipy import stats

from evaluators.calibration import EDGES, check_promises, merge, promise_sums, table
from evaluators.rows import Rows


def log_of(rng, promised, drawn, n):
    """A log of `drawn` that promises `promised`, (c, k) tables of equally likely contexts."""
    context = rng.integers(promised.shape[0], size=n)
    below = drawn.cumsum(axis=1)[context] < rng.random(n)[:, None]
    slot = np.minimum(below.sum(axis=1), promised.shape[1] - 1)
    return Rows(np.zeros(n), slot, promised[context], promised[context])


def p_values(promised, drawn, *, n, n_logs, seed):
    rng = np.random.default_rng(seed)
    return np.array([check_promises(promise_sums(log_of(rng, promised, drawn, n))).p_value for _ in range(n_logs)])


def test_sums_by_hand() -> None:
    # bins by EDGES: 0.04 is in [0.02, 0.05), 0.48 in [0.3, 0.5); two slots of one bin are one chance of 0.96
    rows = Rows(np.zeros(2), np.array([0, 1]), np.array([[0.04, 0.48, 0.48]]), np.zeros((1, 3)), row=np.zeros(2, int))
    found, low, high = promise_sums(rows), 4, 8
    assert (EDGES[low - 1], EDGES[high - 1]) == (0.02, 0.3)
    assert found.hits[[low, high]] == pytest.approx([1, 1])
    assert found.expected[[low, high]] == pytest.approx([0.08, 1.92])
    chance = 2 * 0.04 * 0.96
    assert found.covariance[np.ix_([low, high], [low, high])] == pytest.approx(
        np.array([[chance, -chance], [-chance, chance]])
    )


def test_two_bins_are_the_binomial_test() -> None:
    # 100 rows promise 0.25 and 0.75, 40 hit the first: z = 15 / sqrt(18.75), chi-square z^2 on 1 df
    slot = (np.arange(100) >= 40).astype(int)
    rows = Rows(np.zeros(100), slot, np.array([[0.25, 0.75]]), np.zeros((1, 2)), row=np.zeros(100, int))
    found = check_promises(promise_sums(rows))
    assert found.df == 1
    assert found.statistic == pytest.approx(15**2 / 18.75)
    assert found.p_value == pytest.approx(stats.chi2.sf(12.0, 1))
    assert found.worst is not None
    assert [found.worst.observed, found.worst.promised] == pytest.approx([40.0, 25.0])


@pytest.mark.parametrize("n", [200, 2_000])
def test_kept_promises_are_doubted_at_the_nominal_rate(heavy_world, n) -> None:
    # 500 logs: at most 0.05 + 4 sqrt(0.05 x 0.95 / 500) = 0.089; at 1 %: 0.028
    found = p_values(heavy_world.behavior, heavy_world.behavior, n=n, n_logs=500, seed=n)
    assert np.mean(found < 0.05) <= 0.089
    assert np.mean(found < 0.01) <= 0.028
    assert np.mean(found < 0.5) == pytest.approx(0.5, abs=4 * 0.5 / 500**0.5 + 0.03)  # hits are integers


def lies(behavior):
    sharp = behavior**1.25
    yield "a tenth of the traffic is uniform", 0.9 * behavior + 0.1 / behavior.shape[1]
    yield "sharpened", sharp / sharp.sum(axis=1, keepdims=True)


def test_broken_promises_are_found(heavy_world) -> None:
    for name, drawn in lies(heavy_world.behavior):
        found = p_values(heavy_world.behavior, drawn, n=2_000, n_logs=40, seed=7)
        assert np.mean(found < 0.01) >= 0.8, name


def test_merged_sums_are_those_of_the_union(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(1), 400)
    parts = merge(promise_sums(rows.part(0, 150)), promise_sums(rows.part(150, 400)))
    for found, wanted in zip(parts, promise_sums(rows), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_tables_looked_up_are_the_rows_written_out(heavy_world) -> None:
    rows, context = heavy_world.draw(np.random.default_rng(2), 300)
    short = rows._replace(behavior=heavy_world.behavior, target=heavy_world.target, predicted=None, row=context)
    for found, wanted in zip(promise_sums(short), promise_sums(rows), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_the_table_covers_every_hit_in_pools_of_enough_variance(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(3), 1_000)
    lines = table(promise_sums(rows))
    assert sum(line.observed for line in lines) == 1_000
    assert sum(line.promised for line in lines) == pytest.approx(1_000)
    assert (lines[0].lo, lines[-1].hi) == (0.0, 1.0)
    assert all(line.stderr**2 >= 10 for line in lines)
    assert [line.hi for line in lines[:-1]] == [line.lo for line in lines[1:]]


def test_a_certain_logger_leaves_nothing_to_judge() -> None:
    rows = Rows(np.zeros(50), np.zeros(50, int), np.array([[1.0, 0.0]]), np.zeros((1, 2)), row=np.zeros(50, int))
    found = check_promises(promise_sums(rows))
    assert (found.p_value, found.df, found.worst) == (1.0, 0, None)


def test_a_log_of_logged_propensities_only_is_refused() -> None:
    behavior = np.array([[0.5, np.nan]])
    with pytest.raises(ValueError, match="calibration needs the whole window's"):
        promise_sums(Rows(np.zeros(1), np.zeros(1, int), behavior, np.zeros((1, 2)), is_partial=True))
