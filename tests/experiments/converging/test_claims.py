"""Claims at their thresholds: what holds, what does not, and what is only reported."""

import numpy as np

from evaluators.resampling import Interval
from experiments.converging import claims
from experiments.converging.scoring import Falls, Live, share_of


def interval(value):
    return Interval(np.array(value), np.array(value - 0.1), np.array(value + 0.1))


def test_a_share_needs_its_lower_bound_too():
    assert claims.reached("x", share_of(960, 1000), least=0.95, bound=0.93).holds
    assert not claims.reached("x", share_of(96, 100), least=0.95, bound=0.93).holds  # bound .911
    assert not claims.reached("x", share_of(949, 1000), least=0.95).holds


def test_nobody_there_is_no_success():
    assert claims.kept("x", share_of(0, 0), least=0.98).holds is None


def test_approvals_beyond_the_fewest():
    assert claims.excess_approvals(np.array([0, 6, 20])).holds
    assert not claims.excess_approvals(np.array([0, 7, 20])).holds


def test_falls_are_pooled():
    assert claims.few_falls([Falls(100, 2), Falls(100, 0)]).holds
    assert not claims.few_falls([Falls(100, 2), Falls(90, 0)]).holds
    assert claims.few_falls([Falls(0, 0)]).measured == "0.0000 (0 of 0)"


def test_false_claims_are_judged_by_the_upper_bound():
    assert claims.false_claims("flat", 10, 448).holds  # upper bound 3.8 %
    assert not claims.false_claims("flat", 20, 448).holds  # 4.5 % measured, upper bound 6.4 %


def test_recovery_is_judged_by_the_median():
    assert claims.recovered(np.array([10.0, 60.0, np.inf])).holds
    assert not claims.recovered(np.array([10.0, np.inf, np.inf])).holds
    assert "never" in claims.recovered(np.array([np.inf])).measured
    assert claims.recovered(np.zeros(0)).holds is None


def test_after_a_price_change():
    assert claims.recommended_again(np.array([0.0, 0.0, 5.0])).holds
    assert not claims.recommended_again(np.array([0.0, 1.0, 5.0])).holds
    assert claims.deployed_again(np.array([12.0, 13.0, np.inf]), np.array([2, 3, 3])).holds
    assert not claims.deployed_again(np.array([14.0, 14.0, 1.0]), np.array([3, 3, 3])).holds


def test_the_worst_opponent_decides():
    found = {("a", 50): interval(0.9), ("b", 50): interval(0.8), ("a", 100): interval(0.76), ("b", 100): interval(0.99)}
    claim = claims.ahead_of_all(found)
    assert claim.holds
    assert claim.measured == "least at 50: 0.800 (b); at 100: 0.760 (a)"
    assert not claims.ahead_of_all(found | {("b", 100): interval(0.74)}).holds
    assert claims.ahead_of_all({}).holds is None


def test_statements_by_hand():
    said = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    true = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1]], bool)
    good = np.array([True, True, True])
    first, often = claims.statements([Live(said, true, said * 0.99)], [good], by=3)
    assert first.measured == "0.500 (1 of 2)"  # the first seed spoke too early
    assert often.measured == "0.667 (2 of 3)"
    assert (first.holds, often.holds) == (False, True)
    assert "0.667 of 3" in first.interval


def test_silence_is_not_truth():
    quiet = np.zeros((2, 3), bool)
    first, often = claims.statements([Live(quiet, ~quiet, quiet * 0.0)], [np.ones(2, bool)], by=3)
    assert first.holds is None
    assert not often.holds


def test_power_is_reported():
    assert claims.power("x", 3, 4).holds is None
    assert claims.power("x", 0, 0).measured == "no run improved"
