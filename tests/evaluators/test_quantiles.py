"""Quantiles and t intervals against SciPy; Hall's cubic by its laws."""

import numpy as np
import pytest
from scipy import stats

from evaluators.quantiles import hall_interval, t_interval, t_quantile


@pytest.mark.parametrize("df", [1, 5, 199, 1999, 10**9])
@pytest.mark.parametrize("prob", [0.01, 0.5, 0.8, 0.95, 0.9875])
def test_t_quantiles_are_scipys(prob, df) -> None:
    np.testing.assert_allclose(t_quantile(prob, df), stats.t.ppf(prob, df), rtol=1e-9, atol=1e-12)


def test_the_t_interval_is_scipys_one_log_or_many() -> None:
    found = t_interval(np.array([2.0, 5.0]), np.array([0.09, 1.0]), df=7, confidence=0.9)
    for i, (loc, scale) in enumerate([(2.0, 0.3), (5.0, 1.0)]):
        wanted = stats.t.interval(0.9, 7, loc=loc, scale=scale)
        np.testing.assert_allclose((found.lo[i], found.hi[i]), wanted, rtol=1e-9)


@pytest.mark.parametrize(("variance", "df"), [(np.inf, 10), (0.01, 0)])
def test_an_unknown_error_gives_the_whole_line(variance, df) -> None:
    found = t_interval(np.array(2.0), np.array(variance), df=df, confidence=0.9)
    assert (float(found.lo), float(found.hi)) == (-np.inf, np.inf)


def test_nothing_that_varies_is_a_point_whatever_the_degrees_of_freedom() -> None:
    found = t_interval(np.array(2.0), np.array(0.0), df=0, confidence=0.9)
    assert (float(found.lo), float(found.hi)) == (2.0, 2.0)


def test_without_skew_halls_interval_is_the_t_interval() -> None:
    bent = hall_interval(np.array(1.0), np.array(0.04), skew=np.array(0.0), n=50, confidence=0.95)
    plain = t_interval(np.array(1.0), np.array(0.04), df=49, confidence=0.95)
    np.testing.assert_allclose((bent.lo, bent.hi), (plain.lo, plain.hi), rtol=1e-7)


def test_halls_cubic_undoes_the_transformation_it_inverts() -> None:
    # g(x) = x + k x^2 + k^2 x^3 / 3 + k / 2 with k = skew / (3 sqrt n): g(g^-1(q)) = q, for both ends
    n, skew = 200, -2.6
    k = skew / (3 * np.sqrt(n))
    found = hall_interval(np.array(0.0), np.array(1.0), skew=np.array(skew), n=n, confidence=0.9)
    for end, quantile in ((-found.lo, t_quantile(0.95, n - 1)), (-found.hi, t_quantile(0.05, n - 1))):
        np.testing.assert_allclose(end + k * end**2 + k**2 * end**3 / 3 + k / 2, quantile, rtol=1e-9)


def test_scores_skewed_to_the_left_move_both_ends_down() -> None:
    plain = t_interval(np.array(0.0), np.array(1.0), df=199, confidence=0.95)
    bent = hall_interval(np.array(0.0), np.array(1.0), skew=np.array(-2.0), n=200, confidence=0.95)
    assert bent.lo < plain.lo
    assert bent.hi < plain.hi


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_quantile(1.0, 5), "t quantile = 1"),
        (lambda: t_interval(np.array(0.0), np.array(1.0), df=5, confidence=95.0), "confidence = 95"),
        (
            lambda: hall_interval(np.array(0.0), np.array(1.0), skew=np.array(0.0), n=5, confidence=0.0),
            "confidence = 0",
        ),
    ],
)
def test_bad_levels_are_refused_with_their_value(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
