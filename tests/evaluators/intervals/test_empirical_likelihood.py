"""Empirical likelihood: its ends solve Owen's equations, and never leave what was seen."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from evaluators.estimation import estimate, finish_as, summarise, summarise_logs
from evaluators.estimators import ips, self_normalised_dr, snips
from evaluators.intervals import t
from evaluators.intervals.empirical_likelihood import Params, needs
from evaluators.rows import Rows

MEAN, RATIO = ips.Params(interval=Params()), snips.Params(interval=Params())


def log_ratio(gap) -> float:
    """-2 log of the likelihood ratio that sum p_i gap_i = 0, by a scalar root finder."""
    ends = [(1 / gap.size - 1) / gap.max(), (1 / gap.size - 1) / gap.min()]
    multiplier = brentq(lambda x: (gap / (1 + x * gap)).sum(), *ends, xtol=1e-14)
    return float(2 * np.log1p(multiplier * gap).sum())


def of_rewards(reward) -> Rows:
    """A log whose scores are its rewards."""
    n = len(reward)
    return Rows(np.asarray(reward), np.zeros(n, dtype=np.int64), np.ones((n, 1)), np.ones((n, 1)))


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_ends_of_a_mean_solve_owens_equations(rows, terms, confidence) -> None:
    weight, *_ = terms(rows)
    scores = weight * rows.reward
    found = finish_as(Params(), summarise({"one": MEAN}, rows)["one"], confidence=confidence)
    wanted = stats.t.ppf(0.5 + confidence / 2, 299) ** 2
    for end in (found.lo, found.hi):
        assert log_ratio(scores - end) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_ends_of_a_ratio_solve_its_estimating_equation(heavy_world, terms, seed) -> None:
    rows = heavy_world.draw(np.random.default_rng(seed), 200)[0]
    weight, *_ = terms(rows)
    found = estimate(RATIO, rows)
    for end in (found.lo, found.hi):
        assert log_ratio(weight * (rows.reward - end)) == pytest.approx(stats.t.ppf(0.975, 199) ** 2, rel=1e-6)


def test_two_values_by_hand() -> None:
    # scores 0 and 1, half each: p on the ones is the value, W = -n log(4 p (1 - p))
    found = estimate(MEAN, of_rewards(np.repeat([0.0, 1.0], 20)))
    p = brentq(lambda p: -40 * np.log(4 * p * (1 - p)) - stats.t.ppf(0.975, 39) ** 2, 0.5, 1 - 1e-9, xtol=1e-14)
    assert (found.lo, found.hi) == pytest.approx((1 - p, p), abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("params", [MEAN, RATIO], ids=["mean", "ratio"])
def test_the_interval_never_leaves_what_was_seen(heavy_world, terms, params, seed) -> None:
    rng = np.random.default_rng(seed)
    rows = heavy_world.draw(rng, 12)[0]._replace(reward=rng.normal(size=12), reward_range=None)
    weight, *_ = terms(rows._replace(predicted=np.zeros_like(rows.behavior)))
    seen = weight * rows.reward if params is MEAN else rows.reward
    found = finish_as(Params(), summarise({"one": params}, rows)["one"], confidence=0.999)
    assert seen.min() <= found.lo < found.value < found.hi <= seen.max()


def test_large_well_behaved_logs_have_students_interval() -> None:
    # equal but for terms of order 1 / sqrt(n) of the width, from the skew of the sample
    rows = of_rewards(np.random.default_rng(0).normal(size=20_000))
    ours, plain = (estimate(ips.Params(interval=kind), rows) for kind in (Params(), t.Params()))
    np.testing.assert_allclose((ours.lo, ours.hi), (plain.lo, plain.hi), atol=0.01 * plain.stderr)


def test_the_long_side_reaches_further() -> None:
    found = estimate(MEAN, of_rewards(np.random.default_rng(0).exponential(size=100)))
    assert found.hi - found.value > 1.1 * (found.value - found.lo)


def test_the_bound_on_the_long_side_errs_less_than_students() -> None:
    # exponential scores, n = 50, 2,000 logs: one-sided 95 % upper bounds, paired; 4 standard errors apart
    n_logs, n = 2000, 50
    reward, zeros = np.random.default_rng(1).exponential(size=n_logs * n), np.zeros(n_logs * n, dtype=np.int64)
    one = np.ones((1, 1))
    sums = summarise_logs({"one": MEAN}, Rows(reward, zeros, one, one, row=zeros), n_logs=n_logs)["one"]
    ours, plain = (np.asarray(finish_as(kind, sums, confidence=0.9).hi) < 1 for kind in (Params(), t.Params()))
    gain = plain.astype(float) - ours
    assert gain.mean() >= 4 * stats.sem(gain)
    assert ours.mean() >= 0.05 - 4 * np.sqrt(0.05 * 0.95 / n_logs)


def test_equal_scores_leave_a_point_and_one_row_nothing() -> None:
    alike = estimate(MEAN, of_rewards([2.0, 2.0, 2.0]))
    assert (alike.lo, alike.hi) == (2.0, 2.0)
    single = estimate(MEAN, of_rewards([2.0]))
    assert (single.lo, single.hi) == (-np.inf, np.inf)


def test_a_self_normalised_estimator_with_a_model_part_is_refused(rows) -> None:
    assert needs(Params()) == {"scores"}
    with pytest.raises(ValueError, match="needs a mean of scores or a single ratio"):
        estimate(self_normalised_dr.Params(interval=Params()), rows)
