"""Resampling as a matrix product: against resampling row by row, and the blocks do not show."""

import numpy as np
import pytest
from scipy import stats

from evaluators import bootstrapping
from evaluators.bootstrapping import check_tail, order_statistic, resampled, stderr_of
from evaluators.units import Units


def mean_of(values) -> Units:
    return Units(((np.asarray(values), np.ones(np.shape(values))),))


@pytest.fixture
def ratio() -> Units:
    rng = np.random.default_rng(0)
    weight = rng.exponential(size=(3, 50))
    part, count = rng.normal(size=(3, 50)), rng.integers(1, 4, size=(3, 50)).astype(np.float64)
    return Units(((part, count), (weight * rng.normal(size=(3, 50)), weight)))


def by_hand(units: Units, log: int, counts) -> tuple[float, float]:
    """Estimate and linearised standard error of one resample, row by row."""
    index = np.repeat(np.arange(units.size), counts)
    value, influence = 0.0, np.zeros(index.size)
    for over, under in units.ratios:
        a, b = over[log, index], under[log, index]
        value += a.sum() / b.sum()
        influence += (a - a.sum() / b.sum() * b) / b.sum()
    return value, float(np.sqrt(units.size / (units.size - 1) * (influence**2).sum()))


def test_every_resample_is_what_it_would_be_row_by_row(ratio) -> None:
    draws = resampled(ratio, n_resamples=20, seed=4)
    _, counts = next(bootstrapping._counts(np.random.default_rng(4), 50, 20))
    for log in range(3):
        for b in range(20):
            value, stderr = by_hand(ratio, log, counts[b].astype(int))
            assert draws.shift[log, b] == pytest.approx(value - ratio.value()[log], rel=1e-9, abs=1e-12)
            assert draws.stderr[log, b] == pytest.approx(stderr, rel=1e-8)
        assert stderr_of(ratio)[log] == pytest.approx(by_hand(ratio, log, np.ones(50, dtype=int))[1], rel=1e-10)


@pytest.mark.parametrize("block", [7, 50, 4096])
def test_counts_are_multinomial_whatever_the_blocks(monkeypatch, block) -> None:
    # each of 50 units is drawn 1 +- sqrt(49 / 50) times; |z| <= 4 for 50 means, false alarm 3e-3
    monkeypatch.setattr(bootstrapping, "UNITS", block)
    counts = np.concatenate([found for _, found in bootstrapping._counts(np.random.default_rng(0), 50, 4000)], axis=1)
    np.testing.assert_array_equal(counts.sum(axis=1), 50)
    assert np.abs(counts.mean(axis=0) - 1).max() <= 4 * np.sqrt(0.98 / 4000)
    # covariance of two counts: -1/50 (4 / sqrt(4000) = 0.06 off at most)
    assert np.cov(counts.T)[0, 1] == pytest.approx(-0.02, abs=0.063)
    assert counts.var() == pytest.approx(0.98, abs=0.04)


def test_the_blocks_of_logs_do_not_show(ratio, monkeypatch) -> None:
    whole = resampled(ratio, n_resamples=50, seed=1)
    monkeypatch.setattr(bootstrapping, "LOGS", 1)
    np.testing.assert_allclose(resampled(ratio, n_resamples=50, seed=1), whole, rtol=1e-9, atol=1e-12)


def test_resampled_means_have_the_standard_error_of_the_mean() -> None:
    values = np.random.default_rng(2).exponential(size=80)
    shift = resampled(mean_of(values), n_resamples=20_000, seed=0).shift
    wanted = values.std() / np.sqrt(80)
    # the standard deviation of 20,000 draws is within 4 / sqrt(40,000) = 2 %
    assert shift.std() == pytest.approx(wanted, rel=0.02)
    assert abs(shift.mean()) <= 4 * wanted / np.sqrt(20_000)
    assert stderr_of(mean_of(values)) == pytest.approx(stats.sem(values), rel=1e-12)


def test_one_unit_or_no_weight_tells_nothing() -> None:
    assert stderr_of(mean_of([3.0])) == np.inf
    nothing = Units(((np.zeros(4), np.zeros(4)),))
    assert stderr_of(nothing) == np.inf
    assert np.isnan(resampled(nothing, n_resamples=20, seed=0).shift).all()


def test_order_statistics_are_rounded_outward_and_what_is_unknown_stands_at_both_ends() -> None:
    values = np.arange(1.0, 20.0)  # 19: the tail of 0.05 begins at the first
    assert [order_statistic(values, p, is_upper=False) for p in (0.05, 0.07, 0.5)] == [1, 1, 10]
    assert [order_statistic(values, p, is_upper=True) for p in (0.95, 0.93, 0.5)] == [19, 19, 10]
    values[3] = np.nan
    assert order_statistic(values, 0.05, is_upper=False) == -np.inf
    assert order_statistic(values, 0.95, is_upper=True) == np.inf
    assert order_statistic(values, 0.1, is_upper=False) == 1


@pytest.mark.parametrize(("n_resamples", "confidence"), [(19, 0.9), (999, 0.998), (39, 0.95)])
def test_a_tail_of_one_resample_is_enough_and_less_is_not(n_resamples, confidence) -> None:
    check_tail(n_resamples, confidence)
    with pytest.raises(ValueError, match=f"n_resamples = {n_resamples - 1} for confidence .* need at least"):
        check_tail(n_resamples - 1, confidence)
