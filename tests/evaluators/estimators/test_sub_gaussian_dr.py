"""Oracle 9: no correction is doubly robust; with one, the model's error comes back."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust, sub_gaussian_ips
from evaluators.estimators.sub_gaussian_dr import Params
from evaluators.intervals import assisted, t

PLAIN = t.Params()


@pytest.fixture
def rows(heavy_world):
    return heavy_world.draw(np.random.default_rng(0), 400)[0]


@pytest.mark.parametrize("interval", [PLAIN, assisted.Params()], ids=["t", "assisted"])
def test_no_correction_is_doubly_robust(rows, interval) -> None:
    wanted = estimate(doubly_robust.Params(interval=interval), rows)
    np.testing.assert_allclose(estimate(Params(correction=0.0, interval=interval), rows), wanted, rtol=1e-12)


@pytest.mark.parametrize("correction", [0.0, 0.03, 1.0])
def test_a_model_of_zeros_is_sub_gaussian_ips(rows, correction) -> None:
    empty = rows._replace(predicted=np.zeros_like(rows.behavior))
    wanted = estimate(sub_gaussian_ips.Params(correction=correction), rows)
    found = estimate(Params(correction=correction, interval=PLAIN), empty)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_perfect_model_makes_every_correction_unbiased_and_a_wrong_one_does_not(heavy_world, expectation) -> None:
    perfect, truth = heavy_world._replace(model=heavy_world.mean), heavy_world.truth()
    for correction in (0.0, 0.03, 0.5, 1.0):
        assert expectation(Params(correction=correction), perfect) == pytest.approx(truth, abs=1e-12)
    bias = [expectation(Params(correction=correction), heavy_world) - truth for correction in (0.0, 0.03, 0.5, 1.0)]
    assert bias == sorted(bias)  # the model overrates what the target likes
    assert bias[0] == pytest.approx(0.0, abs=1e-12)


def test_the_mean_over_2000_logs_of_200_is_its_expectation(heavy_world, draw_shared, values_of, expectation) -> None:
    # |z| <= 4, false alarm 6e-5
    rows, params = draw_shared(heavy_world, np.random.default_rng(1), 400_000), Params(interval=PLAIN)
    values = values_of(params, rows, 2000)
    assert abs(values.mean() - expectation(params, heavy_world)) <= 4 * stats.sem(values)


def test_what_cannot_be_done_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="estimator sub_gaussian_dr needs rows.predicted"):
        estimate(Params(), rows._replace(predicted=None))
    with pytest.raises(ValueError, match=r"correction = -0.1, need 0 <= correction <= 1"):
        estimate(Params(correction=-0.1), rows)
