"""Exact bounds against SciPy, Holm by hand."""

import numpy as np
import pytest
from scipy import stats

from evaluators.shares import Bounds, clopper_pearson, holm


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
        (lambda: clopper_pearson(5, 4), "5 hits of 4"),
        (lambda: clopper_pearson(1, 4, confidence=1.0), "confidence = 1"),
        (lambda: clopper_pearson(1, 4, side="left"), "side = 'left'"),
    ],
)
def test_bad_shares_are_refused_with_their_value(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
