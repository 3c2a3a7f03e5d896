"""The studentised bootstrap: a textbook loop, normal scores, and why a ratio must be resampled whole."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate, finish_as, summarise, summarise_logs
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals import t
from evaluators.intervals.bootstrap_t import Params, needs
from evaluators.rows import Rows

SNIPS = snips.Params(interval=Params())


def test_a_mean_is_a_textbook_loop_but_for_monte_carlo_error(heavy_world, terms) -> None:
    rows = heavy_world.draw(np.random.default_rng(0), 200)[0]
    *_, score = terms(rows)
    rng, pivots = np.random.default_rng(1), []
    for _ in range(4000):
        again = score[rng.integers(200, size=200)]
        pivots.append((again.mean() - score.mean()) / stats.sem(again))
    found = estimate(doubly_robust.Params(interval=Params(n_resamples=3999)), rows)
    # read backwards: the share of the loop's pivots beyond each end is 0.025; the two runs are
    # independent and equal in size, |z| <= 4
    error = 4 * np.sqrt(2 * 0.025 * 0.975 / 4000)
    low, high = ((found.value - end) / stats.sem(score) for end in (found.lo, found.hi))
    assert (np.array(pivots) > low).mean() == pytest.approx(0.025, abs=error)
    assert (np.array(pivots) < high).mean() == pytest.approx(0.025, abs=error)


def test_normal_scores_have_about_students_interval() -> None:
    n = 400
    reward, zeros, one = np.random.default_rng(0).normal(size=n), np.zeros(n, dtype=np.int64), np.ones((n, 1))
    rows = Rows(reward, zeros, one, one)
    ours, plain = (estimate(ips.Params(interval=kind), rows) for kind in (Params(n_resamples=9999), t.Params()))
    assert (ours.value, ours.stderr) == pytest.approx((plain.value, plain.stderr), rel=1e-10)
    # 4 Monte Carlo errors of a quantile, in standard errors of the mean, and 0.05 for the skew of these 400
    error = 4 * np.sqrt(0.025 * 0.975 / 9999) / stats.norm.pdf(1.96) + 0.05
    np.testing.assert_allclose([ours.lo, ours.hi], [plain.lo, plain.hi], atol=error * plain.stderr)


def test_a_frozen_denominator_makes_a_self_normalised_interval_half_as_wide_again(pool, draw_logs) -> None:
    # 1,600 logs of 2,000 rows. What a peer does: the mean of w r / mean(w), as if mean(w) were known
    n, width, covered = 2000, np.zeros(2), np.zeros(2)
    for seed in range(4):
        log = draw_logs(20 + seed, n_logs=400, n=n)
        sums = summarise_logs({"one": SNIPS}, log, n_logs=400)["one"]
        ours = finish_as(Params(n_resamples=399), sums, confidence=0.95)
        weight = (log.at(log.target) / log.at(log.behavior)).reshape(400, n)
        frozen = weight * log.reward.reshape(400, n) / weight.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(frozen.mean(axis=1), ours.value, rtol=1e-10)
        half = 1.96 * frozen.std(axis=1) / np.sqrt(n)
        width += [np.mean(ours.hi - ours.lo), np.mean(2 * half)]
        misses = np.abs(ours.value - pool.truth) > half
        covered += [np.mean((ours.lo <= pool.truth) & (pool.truth <= ours.hi)), np.mean(~misses)]
    whole, frozen_too = covered / 4
    assert width[1] > 1.4 * width[0]
    # |z| <= 4 for 95 %, and the frozen one beyond it
    error = np.sqrt(0.95 * 0.05 / 1600)
    assert abs(whole - 0.95) <= 4 * error
    assert frozen_too - 0.95 > 4 * error


def test_resamples_without_any_weight_widen_to_the_whole_line() -> None:
    # one row in three has weight, 3 rows: (2/3)^3 = 0.3 of the resamples have none
    target, slot = np.tile([1.0, 0.0], (3, 1)), np.array([0, 1, 1])
    found = estimate(SNIPS, Rows(np.array([1.0, 0.0, 0.5]), slot, np.full((3, 2), 0.5), target))
    assert (found.value, found.lo, found.hi) == (1.0, -np.inf, np.inf)


def test_it_asks_for_the_scores(rows) -> None:
    assert needs(Params()) == {"scores"}
    with pytest.raises(ValueError, match="needs the scores themselves"):
        finish_as(Params(), summarise({"one": snips.Params()}, rows)["one"], confidence=0.9)
