"""Half of the variance seen, half of the model's: by hand and against the textbook formula."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate, finish_as, summarise, summarise_logs
from evaluators.estimators import doubly_robust, snips
from evaluators.intervals import model, t
from evaluators.intervals.half_model import Params
from evaluators.rows import RewardRange, Rows

DR = doubly_robust.Params(interval=Params())


def test_by_hand() -> None:
    # weights 1; q = 1/2 on both slots: v = 1/4 + 1e-4; rewards 0, 0, 1, 1: parts 1/2, residuals -+1/2
    # s^2 / n = (1/3) / 4 = 1/12; kappa = 4 (1/4) / 4 v, so kappa mean v = 1/4 and the model's variance 1/16
    half = np.full((4, 2), 0.5)
    rows = Rows(np.array([0.0, 0, 1, 1]), np.array([0, 1, 0, 1]), half, half, half, reward_range=RewardRange(0.0, 1.0))
    found = estimate(DR, rows)
    assert found.value == pytest.approx(0.5)
    assert found.stderr**2 == pytest.approx((1 / 12 + 1 / 16) / 2)
    assert found.hi == pytest.approx(0.5 + stats.t.ppf(0.975, 3) * found.stderr)


def test_it_is_the_mean_of_both_variances(rows, terms) -> None:
    weight, residual, part, score = terms(rows)
    shape = rows.predicted * (1 - rows.predicted) + 1e-4
    kappa = (weight * residual**2).sum() / (weight * rows.at(shape)).sum()
    expected = (rows.target**2 / rows.behavior * shape).sum(axis=1).mean()
    wanted = (score.var(ddof=1) + part.var(ddof=1) + kappa * expected) / 2 / 300
    found = estimate(DR, rows)
    assert found.stderr == pytest.approx(np.sqrt(wanted), rel=1e-10)
    assert found.value == pytest.approx(score.mean(), rel=1e-12)


def test_where_the_sample_missed_the_heavy_weights_it_is_wider_than_t(pool, draw_logs) -> None:
    # of logs whose largest weight is below its median over logs, nearly all
    sums = summarise_logs({"one": DR}, draw_logs(1, n_logs=400, n=200), n_logs=400)["one"]
    light = np.asarray(sums.weights.largest) < np.median(sums.weights.largest)
    wide, plain = (finish_as(kind, sums, confidence=0.9).stderr for kind in (Params(), t.Params()))
    assert (np.asarray(wide) > plain)[light].mean() > 0.9


@pytest.mark.parametrize("interval", [Params(), model.Params()])
def test_a_self_normalised_estimator_is_refused(rows, interval) -> None:
    with pytest.raises(ValueError, match="for a mean of scores, got a self-normalised estimator"):
        finish_as(interval, summarise({"one": snips.Params()}, rows)["one"], confidence=0.9)
