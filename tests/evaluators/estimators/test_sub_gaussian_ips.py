"""Oracle 9: no correction is IPS; any correction bounds the weights."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import ips
from evaluators.estimators.sub_gaussian_ips import Params, harmonic

WEIGHTS = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 400)])


@pytest.fixture
def rows(heavy_world):
    return heavy_world.draw(np.random.default_rng(0), 400)[0]


def test_no_correction_is_ips(rows) -> None:
    np.testing.assert_allclose(estimate(Params(correction=0.0), rows), estimate(ips.Params(), rows), rtol=1e-12)


def test_all_correction_is_the_mean_reward_where_the_target_may_go(rows) -> None:
    assert estimate(Params(correction=1.0), rows).value == pytest.approx(rows.reward.mean(), rel=1e-12)


@pytest.mark.parametrize("correction", [1e-3, 0.03, 0.5, 1.0])
def test_a_weight_is_its_weighted_harmonic_mean_with_one(correction) -> None:
    found = harmonic(WEIGHTS, correction)
    wanted = 1 / ((1 - correction) / WEIGHTS[1:] + correction)
    np.testing.assert_allclose(found[1:], wanted, rtol=1e-12)
    assert found[0] == 0
    assert found.max() <= 1 / correction
    assert np.all(np.diff(found[1:]) >= 0)


@pytest.mark.parametrize("correction", [0.0, 0.03, 1.0])
def test_equal_policies_keep_their_weights_of_one(rows, correction) -> None:
    same = rows._replace(target=rows.behavior)
    assert estimate(Params(correction=correction), same).value == pytest.approx(rows.reward.mean(), rel=1e-12)


def test_the_mean_over_2000_logs_of_200_is_its_expectation(heavy_world, draw_shared, values_of, expectation) -> None:
    # |z| <= 4, false alarm 6e-5
    rows = draw_shared(heavy_world, np.random.default_rng(1), 400_000)
    values = values_of(Params(), rows, 2000)
    assert abs(values.mean() - expectation(Params(), heavy_world)) <= 4 * stats.sem(values)


def test_without_correction_the_expectation_is_the_truth(heavy_world, expectation) -> None:
    assert expectation(Params(correction=0.0), heavy_world) == pytest.approx(heavy_world.truth(), rel=1e-12)
    assert expectation(Params(correction=1.0), heavy_world) != pytest.approx(heavy_world.truth(), rel=1e-3)


def test_on_heavy_weights_the_bias_costs_less_than_the_variance_saved(heavy_world, draw_shared, values_of) -> None:
    # the paired difference of squared errors over 2,000 logs lies 4 standard errors on one side
    rows = draw_shared(heavy_world, np.random.default_rng(1), 400_000)
    bent, plain = ((values_of(p, rows, 2000) - heavy_world.truth()) ** 2 for p in (Params(), ips.Params()))
    gain = plain - bent
    assert gain.mean() > 4 * stats.sem(gain)


def test_a_correction_outside_the_unit_interval_is_refused(rows) -> None:
    with pytest.raises(ValueError, match=r"correction = 1.5, need 0 <= correction <= 1"):
        estimate(Params(correction=1.5), rows)
