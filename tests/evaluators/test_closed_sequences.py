"""Closed-form sequences against plain loops; the exact one keeps its promise, the asymptotic one does not."""

import numpy as np
import pytest

from evaluators.closed_sequences import Path, asymptotic, empirical_bernstein
from evaluators.cut import cut_scores, cut_tables
from evaluators.rows import RewardRange, Rows
from evaluators.shares import clopper_pearson

UNIT = RewardRange(0.0, 1.0)


def scored(world, seed, n_runs, n, *, cut):
    log, context = world.draw(np.random.default_rng(seed), n_runs * n)
    rows = Rows(log.reward, log.slot, world.behavior, world.target, world.model, reward_range=UNIT, row=context)
    scores = cut_scores(cut_tables(rows, (cut,)), rows).folded(n_runs)
    return scores.lower[0], scores.upper[0]


def lower_by_loop(scores, cut, confidence):
    """One run's lower end after its last decision, term by term; the guess and the bet know the past alone."""
    top, price = 1 / (cut + 1), np.log(2 / (1 - confidence))
    total, squares, won, paid, bets, best = 5 * top / 2, 5 * top**2, 0.0, 0.0, 0.0, 0.0
    for t, score in enumerate(scores, start=1):
        share, guess = score / (cut + 1), min(total / (4 + t), top)
        bet = min(np.sqrt(2 * price / (squares / (4 + t) * t * np.log(1 + t))), 0.75)
        won, bets = won + bet * share, bets + bet
        paid += (share - guess) ** 2 * (-np.log(1 - bet) - bet)
        best = max(best, (won - price - paid) / bets * (cut + 1))
        total, squares = total + share, squares + (share - guess) ** 2
    return best


@pytest.mark.parametrize("cut", [0.0, 2.0, 10.0])
def test_empirical_bernstein_is_what_a_loop_over_decisions_gives(world, cut) -> None:
    lower, upper = scored(world, 1, 3, 150, cut=cut)
    path = empirical_bernstein(lower, upper, cut=cut, confidence=0.9)
    for run in range(3):
        assert path.lo[run, -1] == pytest.approx(lower_by_loop(lower[run], cut, 0.9), abs=1e-12)
        assert path.hi[run, -1] == pytest.approx(1 - lower_by_loop(1 - upper[run], cut, 0.9), abs=1e-12)


def test_asymptotic_ends_are_the_normal_mixture_about_the_mean(world) -> None:
    scores = np.random.default_rng(2).normal(0.5, 0.3, size=(2, 90))
    path = asymptotic(scores, tuned=50, first=20, confidence=0.9)
    n, alpha = 90, 0.1
    rho = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / 50
    half = scores[1].std() * np.sqrt(2 * (n * rho + 1) / (n**2 * rho) * np.log(np.sqrt(n * rho + 1) / alpha))
    assert path.lo[1, -1] == pytest.approx(scores[1].mean() - half, abs=1e-12)
    assert path.hi[1, -1] == pytest.approx(scores[1].mean() + half, abs=1e-12)
    assert np.all(np.isinf(path.lo[:, :19])) and np.all(np.isfinite(path.lo[:, 19:]))


def test_a_value_is_excluded_by_one_moment() -> None:
    path = Path(np.array([[0.0, 0.6, 0.0], [0.0, 0.0, 0.0]]), np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 1.0]]))
    assert path.ever_excludes(0.55).tolist() == [True, True]
    assert path.ever_excludes(0.5).tolist() == [True, False]


def test_empirical_bernstein_holds_on_heavy_weights_and_says_something(heavy_world) -> None:
    """100 runs of 1,000 decisions, by the exact upper bound; hardly any is expected."""
    lower, upper = scored(heavy_world, 3, 100, 1000, cut=10.0)
    path = empirical_bernstein(lower, upper, cut=10.0)
    wrong = int(path.ever_excludes(heavy_world.truth()).sum())
    assert clopper_pearson(wrong, 100, side="upper").hi <= 0.05
    assert np.mean(path.hi[:, -1] - path.lo[:, -1]) < 0.5


def test_the_asymptotic_sequence_fails_where_large_scores_are_rare() -> None:
    """A prize of 100 in one decision of 100: with a chance of 0.99^20 = 0.82 none is among the first 20.

    Their variance is then 0 and the mean of 1 is excluded; 400 runs, four standard errors.
    """
    prizes = np.where(np.random.default_rng(4).random((400, 20)) < 0.01, 100.0, 0.0)
    share = asymptotic(prizes).ever_excludes(1.0).mean()
    assert share > 0.82 - 4 * np.sqrt(0.82 * 0.18 / 400)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_impossible_levels_are_refused(confidence) -> None:
    scores = np.zeros((1, 5))
    with pytest.raises(ValueError, match="need 0 < confidence < 1"):
        asymptotic(scores, confidence=confidence)
    with pytest.raises(ValueError, match="need 0 < confidence < 1"):
        empirical_bernstein(scores, scores, cut=1.0, confidence=confidence)


def test_scores_of_another_cut_and_starts_without_a_variance_are_refused() -> None:
    scores = np.full((1, 5), -3.0)
    with pytest.raises(ValueError, match="need >= -2 and <= 3; are these scores of this cut"):
        empirical_bernstein(scores, scores, cut=2.0)
    with pytest.raises(ValueError, match="need at least 2 decisions"):
        asymptotic(scores, first=1)
