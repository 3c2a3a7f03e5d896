"""Quantiles and exact bounds against SciPy, the rest by hand."""

import numpy as np
import pytest
from scipy import stats

from evaluators.intervals import (
    Bounds,
    clopper_pearson,
    cluster_variance,
    half_model_variance,
    holm,
    t_interval,
    t_quantile,
)
from evaluators.moments import Moments
from evaluators.scores import Scores


@pytest.mark.parametrize("df", [1, 5, 199, 1999, 10**9])
@pytest.mark.parametrize("prob", [0.01, 0.5, 0.8, 0.95, 0.9875])
def test_t_quantiles_are_scipys(prob, df) -> None:
    np.testing.assert_allclose(t_quantile(prob, df), stats.t.ppf(prob, df), rtol=1e-9, atol=1e-12)


def test_the_t_interval_is_scipys() -> None:
    found = t_interval(2.0, 0.3, df=7, confidence=0.9)
    np.testing.assert_allclose(found, stats.t.interval(0.9, 7, loc=2.0, scale=0.3), rtol=1e-9)


@pytest.mark.parametrize(("stderr", "df"), [(np.inf, 10), (0.1, 0)])
def test_an_unknown_error_gives_the_whole_line(stderr, df) -> None:
    assert t_interval(2.0, stderr, df=df, confidence=0.9) == Bounds(-np.inf, np.inf)


def test_half_model_variance_by_hand() -> None:
    # scores 0, 2: var 2; parts 0, 1: var 0.5; kappa = 3 / 6; design mean = 8 / 2
    scores = Scores(Moments(2, 2.0, 4.0), Moments(2, 1.0, 1.0), residual=3.0, spread=6.0, design=8.0)
    # (2 + (0.5 + 0.5 * 4)) / (2 * 2)
    assert half_model_variance(scores) == pytest.approx(1.125, rel=1e-12)


def test_clusters_of_one_row_give_the_ordinary_variance() -> None:
    values = np.random.default_rng(0).normal(size=40)
    expected = values.var(ddof=1) / 40
    np.testing.assert_allclose(cluster_variance(np.ones(40), values), expected, rtol=1e-12)


def test_rows_repeated_within_clusters_add_no_information() -> None:
    values = np.random.default_rng(1).normal(size=40)
    once, thrice = cluster_variance(np.ones(40), values), cluster_variance(np.full(40, 3.0), 3 * values)
    np.testing.assert_allclose(thrice, once, rtol=1e-12)


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (3, 10), (10, 10), (950, 1000), (0, 1)])
@pytest.mark.parametrize(("side", "alternative"), [("two", "two-sided"), ("lower", "greater"), ("upper", "less")])
def test_clopper_pearson_bounds_are_scipys(hits, total, side, alternative) -> None:
    test = stats.binomtest(hits, total, alternative=alternative)
    wanted = test.proportion_ci(0.95, method="exact")
    found = clopper_pearson(hits, total, confidence=0.95, side=side)
    np.testing.assert_allclose(found, (wanted.low, wanted.high), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.93])
def test_clopper_pearson_lower_bounds_never_err_more_than_promised(share) -> None:
    lo = np.array([clopper_pearson(hits, 60, side="lower").lo for hits in range(61)])
    error = stats.binom.pmf(np.arange(61), 60, share)[lo > share].sum()
    assert error <= 0.05


def test_no_trials_bound_nothing() -> None:
    assert clopper_pearson(0, 0) == Bounds(0.0, 1.0)


def test_holm_by_hand() -> None:
    # sorted .001 .01 .02 .5 times 4 3 2 1: .004 .03 .04 .5
    np.testing.assert_allclose(holm([0.5, 0.01, 0.001, 0.02]), [0.5, 0.03, 0.004, 0.04])


def test_holm_never_exceeds_one_and_keeps_ties_equal() -> None:
    assert holm([0.6, 0.6, 0.6]).tolist() == [1.0, 1.0, 1.0]
    assert holm([]).size == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_quantile(1.0, 5), "t quantile = 1"),
        (lambda: t_interval(0.0, 1.0, df=5, confidence=95.0), "confidence = 95"),
        (lambda: clopper_pearson(5, 4), "5 hits of 4"),
        (lambda: clopper_pearson(1, 4, confidence=1.0), "confidence = 1"),
        (lambda: clopper_pearson(1, 4, side="left"), "side = 'left'"),
    ],
)
def test_bad_levels_are_refused_with_their_value(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
