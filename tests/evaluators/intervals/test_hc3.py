"""HC3 of a self-normalised estimate: against a loop, and where its rows hide their own errors."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate, finish_as, summarise, summarise_logs
from evaluators.estimators import doubly_robust, self_normalised_dr, snips
from evaluators.intervals import t
from evaluators.intervals.hc3 import Params
from evaluators.rows import Rows

SNIPS = snips.Params(interval=Params())


def test_equal_weights_have_hc3_of_a_mean_by_hand() -> None:
    # shares 1/4, rewards 0, 0, 1, 1: 4 (1/4 * 1/2)^2 / (3/4)^2 = 1/9
    rows = Rows(np.array([0.0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), np.full((4, 2), 0.5))
    found = estimate(SNIPS, rows)
    # a share of 1/4 is where the series is cut: never below, and close
    assert 1 / 3 <= found.stderr <= 1 / 3 * 1.005
    assert found.hi == pytest.approx(0.5 + stats.t.ppf(0.975, 3) * found.stderr)


def test_it_is_the_exact_loop_where_shares_are_small(rows, terms) -> None:
    weight, *_ = terms(rows)
    total, value = weight.sum(), (weight * rows.reward).sum() / weight.sum()
    exact = 0.0
    for w, r in zip(weight, rows.reward, strict=True):
        exact += (w / total * (r - value) / (1 - w / total)) ** 2
    assert estimate(SNIPS, rows).stderr == pytest.approx(np.sqrt(exact), rel=1e-6)


def test_it_is_wider_than_the_linearised_interval(rows) -> None:
    sums = summarise({"one": SNIPS}, rows)["one"]
    assert finish_as(Params(), sums, confidence=0.9).stderr > finish_as(t.Params(), sums, confidence=0.9).stderr


def test_one_row_with_all_the_weight_tells_nothing() -> None:
    # the other rows took what the target never takes
    target, slot = np.tile([1.0, 0.0], (3, 1)), np.array([0, 1, 1])
    found = estimate(SNIPS, Rows(np.array([1.0, 0.0, 0.5]), slot, np.full((3, 2), 0.5), target))
    assert (found.value, found.lo, found.hi) == (1.0, -np.inf, np.inf)


@pytest.mark.parametrize("kind", [doubly_robust, self_normalised_dr])
def test_other_estimators_are_refused(rows, kind) -> None:
    with pytest.raises(ValueError, match="needs a self-normalised estimator without a model part"):
        estimate(kind.Params(interval=Params()), rows)


def test_heavy_weights_are_covered_better_than_by_linearised_terms(pool, draw_logs) -> None:
    # the same 2,000 logs: 92 % against 90 %; the difference is 4 paired standard errors at least
    sums = summarise_logs({"one": SNIPS}, draw_logs(3, n_logs=2000, n=200), n_logs=2000)["one"]
    both = [finish_as(kind, sums, confidence=0.95) for kind in (Params(), t.Params())]
    held, linear = ((found.lo <= pool.truth) & (pool.truth <= found.hi) for found in both)
    gain = held.astype(float) - linear
    assert gain.mean() >= 4 * stats.sem(gain)
