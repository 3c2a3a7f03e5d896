"""Tables of the length of answers, against scipy's log-normal and numerical integrals."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import lognorm

from policies.parts.curves import LOG_MEDIANS, ONSETS, RUNAWAY, SPREADS, length_tables

CAPS = (64.0, 192.0, 512.0, 4096.0)
HELD = length_tables(CAPS)


def length(curve: int, away: int) -> Any:
    """The distribution of the uncut length under a hypothesis."""
    median = np.exp(HELD.log_median[curve] + away * RUNAWAY)
    return lognorm(HELD.spread[curve], scale=median)


def test_the_grid_crosses_medians_and_spreads() -> None:
    pairs = {(round(m, 9), s) for m, s in zip(HELD.log_median.tolist(), HELD.spread.tolist(), strict=True)}
    assert len(pairs) == len(LOG_MEDIANS) * len(SPREADS) == len(HELD.log_median)
    assert np.exp(LOG_MEDIANS[[0, -1]]) == pytest.approx([10.0, 5432.0], rel=1e-2)


def test_prior_weights_sum_to_one_and_do_not_prefer_an_onset_or_a_spread() -> None:
    weight = np.exp(HELD.prior)
    assert weight.sum() == pytest.approx(1.0, abs=1e-12)
    assert weight.sum(axis=0) == pytest.approx([1 / len(ONSETS)] * len(ONSETS), abs=1e-12)
    by_spread = [weight[HELD.spread == s].sum() for s in SPREADS]
    assert by_spread == pytest.approx([1 / len(SPREADS)] * len(SPREADS), abs=1e-12)


@pytest.mark.parametrize("away", [0, 1])
def test_an_answer_is_over_its_cap_with_the_log_normal_tail(away: int) -> None:
    tail = np.array([length(i, away).sf(CAPS) for i in range(len(HELD.log_median))])
    assert HELD.over[away] == pytest.approx(tail, rel=1e-9, abs=1e-15)
    assert HELD.log_over[away] == pytest.approx(np.log(np.maximum(tail, 1e-12)), abs=1e-9)


@pytest.mark.parametrize("away", [0, 1])
@pytest.mark.parametrize("curve", [0, 57, 113, 116, 229])
def test_tokens_sent_are_the_mean_of_what_the_cap_leaves(curve: int, away: int) -> None:
    """E min(L, m) is the integral of P(L > x) from 0 to m."""
    for cap, sent in zip(CAPS, HELD.sent[away, curve], strict=True):
        area = quad(length(curve, away).sf, 0.0, cap, limit=400, epsabs=1e-9)[0]
        assert sent == pytest.approx(area, rel=1e-7)


def test_a_larger_cap_cuts_less_and_sends_more_and_running_away_the_reverse() -> None:
    assert np.all(np.diff(HELD.over, axis=-1) <= 0.0) and np.all(np.diff(HELD.sent, axis=-1) >= 0.0)
    assert np.all(HELD.over[1] >= HELD.over[0]) and np.all(HELD.sent[1] >= HELD.sent[0] - 1e-9)
    assert np.all(HELD.sent <= np.array(CAPS) + 1e-9)
