"""The regression on the control variate against a least-squares solver, and the two variances by hand."""

from functools import reduce

import numpy as np
import pytest
from scipy import stats

from evaluators.adjusting import (
    adjust,
    central,
    cluster_variance,
    clustered,
    kappa,
    mean,
    model_variance,
    refuse_unknown,
    sample_variance,
    score_variance,
)
from evaluators.estimation import Estimator, summarise
from evaluators.estimators import direct, doubly_robust, ips, self_normalised_dr, snips
from evaluators.intervals import assisted
from evaluators.rows import RewardRange, Rows
from evaluators.scores import RowScores
from evaluators.sums import Sums, merge

ASSISTED: dict[str, Estimator] = {
    "ips": ips.Params(interval=assisted.Params()),
    "dr": doubly_robust.Params(),
    "snips": snips.Params(),
    "sndr": self_normalised_dr.Params(),
    "direct": direct.Params(interval=assisted.Params()),
}


def sums_of(rows: Rows, name: str = "dr") -> Sums:
    return summarise(ASSISTED, rows, keep=True)[name]


@pytest.fixture
def rows(world) -> Rows:
    log: Rows = world.draw(np.random.default_rng(0), 400)[0]
    return log


def kept_of(sums: Sums) -> RowScores:
    assert sums.kept is not None
    return sums.kept


def least_squares(sums: Sums):
    """Coefficients of (1, c), residuals and leverages of every row."""
    kept = kept_of(sums)
    control = kept.weight - kept.centre
    design = np.stack([np.ones(sums.n), control], axis=1)
    solved = np.linalg.pinv(design)
    found = solved @ kept.score()
    return found, solved, kept.score() - design @ found, np.vecdot(design, solved.T)


@pytest.mark.parametrize("name", ["ips", "dr"])
def test_the_regression_is_the_solvers(rows, name) -> None:
    sums = sums_of(rows, name)
    found, ((value, slope), _, rest, _) = adjust(sums), least_squares(sums)
    np.testing.assert_allclose((found.value, found.slope), (value, slope), rtol=1e-9)
    assert found.square == pytest.approx((rest**2).sum(), rel=1e-9)
    assert found.skew == pytest.approx(stats.skew(rest), rel=1e-7)


def exact_hc3(sums: Sums) -> tuple[float, float]:
    """HC3 variance of the value, and the largest leverage."""
    _, solved, rest, leverage = least_squares(sums)
    return float((solved[0] ** 2 * (rest / (1 - leverage)) ** 2).sum()), float(leverage.max())


@pytest.mark.parametrize("seed", range(6))
def test_hc3_is_never_below_the_exact_figure(heavy_world, seed) -> None:
    sums = sums_of(heavy_world.draw(np.random.default_rng(seed), 400)[0])
    assert adjust(sums).hc3 >= exact_hc3(sums)[0] * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_hc3_is_within_1e_3_of_the_exact_figure_where_leverages_are_small(world, seed) -> None:
    sums = sums_of(world.draw(np.random.default_rng(seed), 2000)[0])
    exact, largest = exact_hc3(sums)
    assert largest <= 0.02
    assert 1 - 1e-12 <= adjust(sums).hc3 / exact <= 1 + 1e-3


def test_a_row_that_alone_decides_the_slope_has_an_infinite_hc3_variance() -> None:
    # three rows of one weight and one of another: its leverage is 1
    behavior, target = np.full((4, 2), 0.5), np.full((4, 2), 0.5)
    target[3] = [0.9, 0.1]
    rows = Rows(np.array([0.0, 1, 1, 0.5]), np.array([0, 1, 0, 0]), behavior, target, behavior)
    found = adjust(sums_of(rows._replace(reward_range=RewardRange(0.0, 1.0))))
    assert found.hc3 == np.inf
    assert np.isfinite(found.square)


def test_a_weight_that_does_not_vary_has_no_slope(rows) -> None:
    sums = sums_of(rows._replace(target=rows.behavior))
    found = adjust(sums)
    assert found.slope == 0
    assert found.value == pytest.approx(mean(sums), rel=1e-12)
    assert found.square == pytest.approx(399 * score_variance(sums), rel=1e-10)


def test_an_unknown_expectation_of_the_weight_has_no_slope(rows) -> None:
    unknown = sums_of(rows)._replace(powers=np.where(np.arange(9) == 0, sums_of(rows).powers, np.nan))
    found = adjust(unknown)
    np.testing.assert_array_equal((found.slope, found.value), (0.0, mean(unknown)))


def test_moments_are_about_both_means(rows) -> None:
    kept = kept_of(sums_of(rows))
    y, c = kept.score(), kept.weight - kept.centre
    wanted = [[((y - y.mean()) ** i * (c - c.mean()) ** j).sum() for j in range(9)] for i in range(4)]
    np.testing.assert_allclose(central(sums_of(rows)), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["snips", "sndr"])
def test_the_mean_of_a_ratio_is_a_part_and_a_weighted_residual(rows, name) -> None:
    kept = kept_of(sums_of(rows, name))
    wanted = kept.part.mean() + np.average(kept.residual, weights=kept.weight)
    assert mean(sums_of(rows, name)) == pytest.approx(wanted, rel=1e-12)


def test_sample_variance_by_hand() -> None:
    # 1, 2, 3, 6: sum 12, squares 50, (50 - 36) / 3
    assert sample_variance(np.asarray(12.0), np.asarray(50.0), 4) == pytest.approx(14 / 3)
    assert sample_variance(np.asarray(12.0), np.asarray(144.0), 1) == np.inf
    assert sample_variance(np.asarray(0.3 * 3), np.asarray(0.09 * 3), 3) == 0  # what rounding left


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_the_model_variance_is_the_textbook_formula(rows, slope) -> None:
    weight = rows.at(rows.target) / rows.at(rows.behavior)
    left = rows.reward - rows.at(rows.predicted) - slope
    shape = rows.predicted * (1 - rows.predicted) + 1e-4
    level = (weight * left**2).sum() / (weight * rows.at(shape)).sum()
    expected = (rows.target**2 / rows.behavior * shape).sum(axis=1).mean()
    part = (rows.target * rows.predicted).sum(axis=1)
    sums = sums_of(rows)
    assert kappa(sums, slope) == pytest.approx(level, rel=1e-10)
    assert model_variance(sums, slope) == pytest.approx((part.var(ddof=1) + level * expected) / 400, rel=1e-9)


def test_the_level_is_the_most_possible_where_no_residual_was_seen(rows) -> None:
    only_first = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (400, 1))
    unseen = rows._replace(slot=np.ones(400, dtype=np.int64), target=only_first)
    assert kappa(sums_of(unseen)) == 1.0


def test_scores_without_any_weight_have_an_infinite_variance_if_nothing_else_varies(rows) -> None:
    only_first = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (400, 1))
    unseen = rows._replace(slot=np.ones(400, dtype=np.int64), target=only_first)
    assert score_variance(sums_of(unseen, "ips")) == np.inf
    assert score_variance(sums_of(unseen, "dr")) > 0  # the model's part varies


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("snips", {}, "got a self-normalised estimator; use hc3"),
        ("dr", {"reward_range": None}, "needs a declared reward range, got none"),
        ("dr", {"is_partial": True}, "needs the logger's whole distribution of every row"),
    ],
)
def test_what_has_no_model_variance_is_refused(rows, name, changes, message) -> None:
    if "is_partial" in changes:
        behavior, place = np.full_like(rows.behavior, np.nan), np.arange(400)
        behavior[place, rows.slot] = rows.behavior[place, rows.slot]
        changes = changes | {"behavior": behavior}
    with pytest.raises(ValueError, match=message):
        refuse_unknown(sums_of(rows._replace(**changes), name))


def test_clusters_of_one_row_have_the_ordinary_variance() -> None:
    values = np.random.default_rng(0).normal(size=40)
    assert cluster_variance(np.ones(40), values) == pytest.approx(values.var(ddof=1) / 40, rel=1e-12)


def test_rows_repeated_within_clusters_add_no_information() -> None:
    values = np.random.default_rng(1).normal(size=40)
    once, thrice = cluster_variance(np.ones(40), values), cluster_variance(np.full(40, 3.0), 3 * values)
    assert thrice == pytest.approx(once, rel=1e-12)
    assert cluster_variance(np.ones(1), np.ones(1)) == np.inf


def test_the_larger_of_two_variances_counts_with_the_clusters_degrees_of_freedom(rows) -> None:
    sums = sums_of(rows._replace(cluster=np.arange(400) // 20))
    assert sums.clusters is not None
    table = sums.clusters.table
    robust = cluster_variance(table[:, 0], table[:, 1] + table[:, 3])
    for which, given, df, wanted in (
        (sums, 0.0, 399, [robust, 19]),
        (sums, 2 * robust, 399, [2 * robust, 19]),
        (sums_of(rows), 0.5, 7, [0.5, 7]),
    ):
        variance, left = clustered(which, np.asarray(given), df=df)
        assert [float(variance), left] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", ["ips", "dr"])
def test_shards_give_the_same_regression(rows, name) -> None:
    shards = [summarise(ASSISTED, rows.part(i, i + 80), keep=True)[name] for i in range(0, 400, 80)]
    np.testing.assert_allclose(adjust(reduce(merge, shards)), adjust(sums_of(rows, name)), rtol=1e-9)
