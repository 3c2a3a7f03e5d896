"""Student's t against SciPy and by hand; rows of one cluster count once."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate, finish, summarise_logs
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals.t import Params, needs
from evaluators.rows import RewardRange, Rows

MEAN, RATIO = ips.Params(interval=Params()), snips.Params(interval=Params())


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_a_mean_of_scores_has_scipys_interval(rows, terms, confidence) -> None:
    weight, *_ = terms(rows)
    scores = weight * rows.reward
    found = estimate(ips.Params(confidence=confidence, interval=Params()), rows)
    wanted = stats.t.interval(confidence, 299, loc=scores.mean(), scale=stats.sem(scores))
    np.testing.assert_allclose((found.lo, found.hi), wanted, rtol=1e-9)


def test_a_ratio_by_hand() -> None:
    # weights 2, 1, 1, rewards 1, 0, 1: 3/4. Terms u (r - 3/4): 2/4, -3/4, 1/4, times n / sum u = 3/4;
    # squares add up to 14/16 * 9/16, over n (n - 1) = 6: 21/256
    target = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    rows = Rows(np.array([1.0, 0.0, 1.0]), np.array([0, 1, 0]), np.full((3, 2), 0.5), target)
    found = estimate(RATIO, rows)
    assert found.value == pytest.approx(0.75)
    assert found.stderr == pytest.approx(np.sqrt(21 / 256))
    assert found.hi == pytest.approx(0.75 + stats.t.ppf(0.975, 2) * np.sqrt(21 / 256))


def test_clusters_by_hand() -> None:
    # scores 0, 2 | 2, 0 | 3, 5 of mean 2: cluster sums about it -2, -2, 4; 3/2 * (4 + 4 + 16) / 36 = 1
    rows = Rows(np.array([0.0, 2, 2, 0, 3, 5]), np.zeros(6, dtype=np.int64), np.ones((6, 1)), np.ones((6, 1)))
    found = estimate(MEAN, rows._replace(cluster=np.array([4, 4, 1, 1, 9, 9])))
    assert (found.value, found.stderr) == pytest.approx((2.0, 1.0))
    assert found.hi == pytest.approx(2 + stats.t.ppf(0.975, 2))


def test_clusters_that_cancel_never_narrow(rows) -> None:
    # rows sorted by score and paired from both ends: cluster sums vary less than rows
    weight = rows.at(rows.target) / rows.at(rows.behavior)
    rank = np.argsort(np.argsort(weight * rows.reward))
    paired = rows._replace(cluster=np.minimum(rank, 299 - rank))
    for params in (MEAN, RATIO):
        assert estimate(params, paired).stderr >= estimate(params, rows).stderr


def test_a_single_cluster_tells_nothing(rows) -> None:
    for params in (MEAN, RATIO):
        found = estimate(params, rows._replace(cluster=np.zeros(300, dtype=np.int64)))
        assert (found.lo, found.hi) == (-np.inf, np.inf)


def test_it_needs_nothing_but_the_scores(rows) -> None:
    assert needs(Params()) == frozenset()
    undeclared = rows._replace(reward_range=None, predicted=None)
    assert np.isfinite(estimate(MEAN, undeclared).stderr)


def test_normal_scores_are_covered_as_often_as_promised() -> None:
    # exact for normal scores: |z| <= 4, false alarm 6e-5
    n_logs, n = 4000, 8
    reward = np.random.default_rng(1).normal(size=n_logs * n)
    one = np.ones((1, 1))
    zeros = np.zeros(n_logs * n, dtype=np.int64)
    sums = summarise_logs({"one": MEAN}, Rows(reward, zeros, one, one, row=zeros), n_logs=n_logs)["one"]
    found = finish(MEAN, sums)
    covered = (np.asarray(found.lo) <= 0) & (np.asarray(found.hi) >= 0)
    assert abs(covered.mean() - 0.95) <= 4 * np.sqrt(0.95 * 0.05 / n_logs)


def test_rewards_that_never_vary_leave_a_point() -> None:
    alike = Rows(np.ones(5), np.zeros(5, dtype=np.int64), np.ones((5, 1)), np.ones((5, 1)), np.ones((5, 1)))
    found = estimate(doubly_robust.Params(interval=Params()), alike._replace(reward_range=RewardRange(0.0, 2.0)))
    assert (found.value, found.lo, found.hi) == (1.0, 1.0, 1.0)
