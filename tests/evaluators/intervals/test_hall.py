"""The fallback for an unknown logger: HC3 of the regression, ends moved by Hall's cubic."""

import numpy as np
import pytest
from scipy import stats

from evaluators.adjusting import adjust
from evaluators.estimation import estimate, finish_as, summarise
from evaluators.estimators import doubly_robust, snips
from evaluators.intervals.hall import Params, needs
from evaluators.quantiles import hall_interval

DR = doubly_robust.Params(interval=Params())


def test_it_is_the_regressions_hc3_and_halls_cubic(rows, terms) -> None:
    weight, _, _, score = terms(rows)
    design = np.stack([np.ones(300), weight - 1], axis=1)
    solved = np.linalg.inv(design.T @ design) @ design.T
    rho = score - design @ (solved @ score)
    leverage = np.vecdot(design, solved.T)
    exact = (solved[0] ** 2 * (rho / (1 - leverage)) ** 2).sum()
    found = estimate(DR, rows)
    assert found.value == pytest.approx((solved @ score)[0], rel=1e-9)
    assert 1.0 <= found.stderr / np.sqrt(exact) <= 1.005
    skew = np.asarray(stats.skew(rho))
    wanted = hall_interval(np.asarray(found.value), np.asarray(found.stderr**2), skew=skew, n=300, confidence=0.95)
    np.testing.assert_allclose((found.lo, found.hi), (wanted.lo, wanted.hi), rtol=1e-8)


def test_it_asks_for_no_more_than_the_logged_propensities(rows) -> None:
    partial = np.full_like(rows.behavior, np.nan)
    place = np.arange(300)
    partial[place, rows.slot] = rows.behavior[place, rows.slot]
    unknown = rows._replace(behavior=partial, is_partial=True, reward_range=None)
    assert needs(Params()) == frozenset()
    np.testing.assert_allclose(estimate(DR, unknown)[:4], estimate(DR, rows)[:4], rtol=1e-9)


def test_skewed_scores_reach_further_on_the_long_side(rows, terms) -> None:
    skew = float(adjust(summarise({"one": DR}, rows)["one"]).skew)
    found = estimate(DR, rows)
    assert (found.value - found.lo > found.hi - found.value) == (skew < 0)


def test_a_self_normalised_estimator_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="use hc3"):
        finish_as(Params(), summarise({"one": snips.Params()}, rows)["one"], confidence=0.9)
