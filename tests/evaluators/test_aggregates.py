"""Summaries against rliable's own worked numbers, SciPy as an oracle, and identities."""

import time
from functools import partial

import numpy as np
import pytest
from scipy import stats

from evaluators.aggregates import (
    average_profile,
    improvement_interval,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    probability_of_improvement,
    run_profile,
    superiority,
)
from evaluators.resampling import by_task, counts, stratified

# The matrices of rliable's metrics test (google-research/rliable, tests/rliable/metrics_test.py).
PUBLISHED_X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]])
PUBLISHED_Y = np.array([[1, 1], [2, 2], [3, 3]])
SUMMARIES = (mean, median, interquartile_mean, optimality_gap)


def philox(seed):
    return np.random.Generator(np.random.Philox(seed))


def random_scores(seed, runs=9, n_tasks=4):
    """Scores with ties: multiples of 0.1 in [0, 1]."""
    return philox(seed).integers(0, 11, size=(runs, n_tasks)) / 10


@pytest.mark.parametrize("summary", [mean, median, interquartile_mean])
@pytest.mark.parametrize(("scores", "published"), [(PUBLISHED_X, 1.5), (PUBLISHED_Y, 2.0)])
def test_summaries_are_those_published(summary, scores, published) -> None:
    assert summary(by_task(scores)) == published


def test_the_probability_of_improvement_is_the_one_published() -> None:
    # task 1: of 12 pairs 2 are won and 4 tied; task 2 has the same counts
    assert probability_of_improvement(PUBLISHED_X, PUBLISHED_Y) == pytest.approx(1 / 3, rel=1e-12)


def test_the_published_staircase_and_its_mirror_are_even_and_their_intervals_bracket_them() -> None:
    """Rliable's library test: 0..79 as 5 runs of 16 tasks, and the same runs in reverse order."""
    stairs = np.arange(80).reshape(5, 16)
    even = improvement_interval(philox(0), stairs, y=stairs[::-1], replications=400)
    assert even.value == 0.5
    assert even.lo < 0.5 < even.hi
    for summary in SUMMARIES[:3]:
        found = stratified(philox(1), stairs, statistic=summary, replications=400)
        assert found.value == 39.5  # the mean of 0..79, by symmetry also the median and the middle
        assert found.lo < 39.5 < found.hi


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 41])
def test_the_interquartile_mean_is_scipys_trimmed_mean_of_all_runs(size) -> None:
    scores = philox(size).normal(size=(size, 3))
    assert float(interquartile_mean(by_task(scores))) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))


@pytest.mark.parametrize(("n_x", "n_y"), [(1, 1), (5, 9), (40, 17)])
def test_superiority_is_scipys_mann_whitney_statistic(n_x, n_y) -> None:
    rng = philox(n_x)
    x, y = rng.integers(0, 6, size=n_x).astype(float), rng.integers(1, 7, size=n_y).astype(float)
    expected = stats.mannwhitneyu(x, y, alternative="greater", method="asymptotic").statistic / (n_x * n_y)
    assert superiority(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_what_one_wins_the_other_loses(seed) -> None:
    x, y = random_scores(seed), random_scores(seed + 100, runs=13)
    both = probability_of_improvement(x, y) + probability_of_improvement(y, x)
    assert both == pytest.approx(1.0, rel=1e-12)
    assert probability_of_improvement(x, x) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_improvement_knows_only_the_order_of_scores_within_a_task(seed) -> None:
    x, y = random_scores(seed), random_scores(seed + 100)
    bend = np.array([1.0, 5.0, 0.1, 2.0])
    stretched = probability_of_improvement(np.exp(bend * x), np.exp(bend * y))
    assert stretched == pytest.approx(probability_of_improvement(x, y), rel=1e-12)


@pytest.mark.parametrize("summary", [*SUMMARIES, run_profile([0.2, 0.5]), average_profile([0.2, 0.5])])
def test_the_order_of_runs_does_not_matter(summary) -> None:
    scores = random_scores(7)
    shuffled = philox(8).permuted(scores, axis=0)
    np.testing.assert_allclose(summary(by_task(shuffled)), summary(by_task(scores)), rtol=1e-12)


def test_tasks_count_once_however_many_runs_they_have() -> None:
    ragged = [np.array([0.0, 0.0, 0.0, 1.0]), np.array([1.0])]
    assert float(mean(by_task(ragged))) == 0.625  # (1/4 + 1) / 2
    assert float(optimality_gap(by_task(ragged))) == 0.375
    assert run_profile([0.5])(by_task(ragged)).tolist() == [0.625]
    assert probability_of_improvement(ragged, [np.zeros(2), np.zeros(3)]) == 0.8125  # (5/8 + 1) / 2


def test_the_optimality_gap_forgives_what_exceeds_its_target() -> None:
    # gaps 0.5, 0, 1, 0.25 to a target of 2
    assert float(optimality_gap(by_task([[1.5, 9.0], [1.0, 1.75]]), target=2.0)) == 0.4375


def test_the_area_below_the_run_profile_is_the_mean() -> None:
    scores = random_scores(9)
    middles = np.arange(0.05, 1.0, 0.1)  # scores are multiples of 0.1, so the profile is constant between them
    area = run_profile(middles)(by_task(scores)).sum() * 0.1
    assert area == pytest.approx(scores.mean(), rel=1e-12)


def test_the_average_profile_counts_task_means_and_both_fall() -> None:
    scores, taus = random_scores(10), np.linspace(-0.1, 1.1, 25)
    expected = [(scores.mean(axis=0) > tau).mean() for tau in taus]
    np.testing.assert_allclose(average_profile(taus)(by_task(scores)), expected, rtol=1e-12)
    for profile in (run_profile(taus), average_profile(taus)):
        band = stratified(philox(11), scores, statistic=profile, replications=300)
        assert band.lo.shape == band.hi.shape == taus.shape
        assert np.all(np.diff(band.value) <= 0)
        assert np.all(band.lo <= band.hi)
        assert (band.value[0], band.value[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("summary", [*SUMMARIES, run_profile([0.2, 0.5]), average_profile([0.2, 0.5])])
def test_a_statistic_of_stacked_replications_is_the_stack_of_statistics(summary) -> None:
    tasks = tuple(philox(k).normal(size=(6, 5 + k)) for k in range(3))
    one_by_one = [summary(tuple(task[i] for task in tasks)) for i in range(6)]
    np.testing.assert_allclose(summary(tasks), one_by_one, rtol=1e-12)


def test_improvement_replications_are_those_of_redrawn_runs() -> None:
    x, y = random_scores(12, n_tasks=2), random_scores(13, runs=6, n_tasks=2)
    found = improvement_interval(philox(14), x, y=y, replications=40)
    rng, draws = philox(14), np.zeros(40)
    for k in range(2):
        mine, theirs = counts(rng, 9, replications=40), counts(rng, 6, replications=40)
        pairs = zip(mine, theirs, strict=True)
        draws += [superiority(np.repeat(x[:, k], a), np.repeat(y[:, k], b)) / 2 for a, b in pairs]
    np.testing.assert_allclose([found.lo, found.hi], np.quantile(draws, [0.025, 0.975]), rtol=1e-12)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="x has 4 tasks and y 3"):
        probability_of_improvement(random_scores(0), random_scores(0, n_tasks=3))


def test_two_thousand_replications_of_a_hundred_runs_on_eleven_tasks_take_under_a_second() -> None:
    x, y = random_scores(15, runs=100, n_tasks=11), random_scores(16, runs=100, n_tasks=11)
    for work in (
        partial(stratified, philox(0), x, statistic=interquartile_mean),
        partial(improvement_interval, philox(0), x, y=y),
    ):
        began = time.process_time()
        work()
        assert time.process_time() - began < 1.0
