"""Latency: medians, spreads and cold starts given back from totals alone."""

import numpy as np
import pytest

from experiments.calibration.fit_latency import Latency, fit_latency


def fitted(tokens, latency) -> Latency:
    found = fit_latency(tokens, latency)
    assert found is not None
    return found


def drawn(*, cold=0.0, first_sd=0.2, token_sd=0.1, n=4000):
    rng = np.random.default_rng(0)
    tokens = np.rint(130 * np.exp(0.5 * rng.normal(size=n)))
    first, each = (np.exp(sd * rng.normal(size=n)) for sd in (first_sd, token_sd))
    stalled = (rng.random(n) < cold) * rng.uniform(20_000, 70_000, n)
    return tokens, 500 * first + 15 * tokens * each + stalled


def test_medians_and_spreads_are_given_back():
    found = fitted(*drawn())
    assert found.first_token_ms == pytest.approx(500, rel=0.05)
    assert found.token_ms == pytest.approx(15, rel=0.02)
    assert found.first_token_jitter == pytest.approx(0.2, abs=0.04)
    assert found.token_jitter == pytest.approx(0.1, abs=0.02)
    assert (found.cold_share, found.n) == (0.0, 4000)


def test_cold_starts_are_told_apart_and_move_nothing():
    found = fitted(*drawn(cold=0.05))
    assert found.cold_share == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4000))
    assert 19_000 < found.cold_low_ms < 22_000
    assert 68_000 < found.cold_high_ms < 72_000
    assert found.token_ms == pytest.approx(15, rel=0.03)
    assert found.first_token_jitter == pytest.approx(0.2, abs=0.06)


def test_a_line_without_scatter_is_exact():
    tokens = np.arange(10.0, 110.0)
    found = fitted(tokens, 100 + 2 * tokens)
    assert (found.first_token_ms, found.token_ms) == pytest.approx((100, 2))
    assert (found.first_token_jitter, found.token_jitter) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize(("tokens", "latency"), [(np.arange(5.0), np.arange(5.0)), (np.full(50, 9.0), np.arange(50.0))])
def test_too_few_calls_or_one_length_say_nothing(tokens, latency):
    assert fit_latency(tokens, latency) is None
