"""The variance that logger and model expect, around the control-variate mean: against the textbook formula."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate, finish_as, summarise, summarise_logs
from evaluators.estimators import doubly_robust
from evaluators.intervals import t
from evaluators.intervals.model import Params

DR = doubly_robust.Params(interval=Params())


def test_it_is_the_textbook_formula(rows, terms) -> None:
    weight, residual, part, score = terms(rows)
    slope, *_ = stats.linregress(weight - 1, score)
    left = residual - slope
    shape = rows.predicted * (1 - rows.predicted) + 1e-4
    kappa = (weight * left**2).sum() / (weight * rows.at(shape)).sum()
    expected = (rows.target**2 / rows.behavior * shape).sum(axis=1).mean()
    # y - slope c - u e' = part + slope E[w | x], and E[w | x] = 1 here
    wanted = (part.var(ddof=1) + kappa * expected) / 300
    found = estimate(DR, rows)
    assert found.stderr == pytest.approx(np.sqrt(wanted), rel=1e-9)
    assert found.value == pytest.approx(score.mean() - slope * (weight - 1).mean(), rel=1e-10)
    half = stats.t.ppf(0.975, 298) * np.sqrt(wanted)
    np.testing.assert_allclose((found.lo, found.hi), (found.value - half, found.value + half), rtol=1e-9)


def test_its_lower_bound_keeps_its_promise_where_the_t_bound_does_not(pool, draw_logs) -> None:
    # one-sided 95 % at n = 2,000: 4-5 % against 8-9 %. The threshold is 4 standard errors above 5 %:
    # 3e-5 false alarms for a bound that errs 5 %. 1,000 logs, 250 at a time
    errors = np.zeros(2)
    for seed in range(4):
        sums = summarise_logs({"one": DR}, draw_logs(10 + seed, n_logs=250, n=2000), n_logs=250)["one"]
        errors += [
            (finish_as(kind, sums, confidence=0.9).lo > pool.truth).mean() / 4 for kind in (Params(), t.Params())
        ]
    assert errors[0] <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)
    assert errors[1] > errors[0]


def test_two_rows_leave_no_degree_of_freedom(rows) -> None:
    found = estimate(DR, rows.part(0, 2))
    assert (found.lo, found.hi) == (-np.inf, np.inf)


def test_an_unknown_logger_is_refused(rows) -> None:
    partial = np.full_like(rows.behavior, np.nan)
    place = np.arange(300)
    partial[place, rows.slot] = rows.behavior[place, rows.slot]
    sums = summarise({"one": DR}, rows._replace(behavior=partial, is_partial=True))["one"]
    with pytest.raises(ValueError, match="needs the logger's whole distribution of every row"):
        finish_as(Params(), sums, confidence=0.9)
