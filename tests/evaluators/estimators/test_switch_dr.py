"""Oracle 9: a threshold of 0 is the direct method, infinity is doubly robust."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import direct, doubly_robust
from evaluators.estimators.switch_dr import Params
from evaluators.intervals import assisted, t
from evaluators.rows import logged

PLAIN = t.Params()


@pytest.fixture
def rows(heavy_world):
    return heavy_world.draw(np.random.default_rng(0), 400)[0]


def test_a_threshold_of_zero_is_the_direct_method(rows) -> None:
    wanted = estimate(direct.Params(), rows)
    np.testing.assert_allclose(estimate(Params(threshold=0.0, interval=PLAIN), rows), wanted, rtol=1e-12)


@pytest.mark.parametrize("interval", [PLAIN, assisted.Params()], ids=["t", "assisted"])
def test_a_threshold_of_infinity_is_doubly_robust(rows, interval) -> None:
    wanted = estimate(doubly_robust.Params(interval=interval), rows)
    np.testing.assert_allclose(estimate(Params(threshold=np.inf, interval=interval), rows), wanted, rtol=1e-12)


def test_a_weight_at_the_threshold_is_still_trusted(rows) -> None:
    largest = float((logged(rows.target, rows.slot) / logged(rows.behavior, rows.slot)).max())
    wanted = estimate(doubly_robust.Params(interval=PLAIN), rows).value
    assert estimate(Params(threshold=largest, interval=PLAIN), rows).value == pytest.approx(wanted, rel=1e-12)
    below = np.nextafter(largest, 0)
    assert estimate(Params(threshold=below, interval=PLAIN), rows).value != pytest.approx(wanted, rel=1e-3)


def test_with_a_model_of_zeros_below_the_threshold_it_is_the_original_switch(rows) -> None:
    weight = rows.target / rows.behavior
    model = np.where(weight > 5.0, rows.predicted, 0.0)
    at = logged(weight, rows.slot)
    wanted = (rows.target * model * (weight > 5.0)).sum(axis=1) + at * (at <= 5.0) * rows.reward
    found = estimate(Params(threshold=5.0, interval=PLAIN), rows._replace(predicted=model))
    assert found.value == pytest.approx(wanted.mean(), rel=1e-12)


def test_a_perfect_model_makes_every_threshold_unbiased_and_a_wrong_one_does_not(heavy_world, expectation) -> None:
    truth = heavy_world.truth()
    for threshold in (0.0, 1.0, 30.0, np.inf):
        right = expectation(Params(threshold=threshold), heavy_world._replace(model=heavy_world.mean))
        assert right == pytest.approx(truth, abs=1e-12)
    bias = [expectation(Params(threshold=threshold), heavy_world) - truth for threshold in (0.0, 1.0, 30.0, np.inf)]
    assert bias == sorted(bias, reverse=True)  # the model overrates what the target likes
    assert bias[0] > 0.04
    assert bias[-1] == pytest.approx(0.0, abs=1e-12)


def test_the_mean_over_2000_logs_of_200_is_its_expectation(heavy_world, draw_shared, values_of, expectation) -> None:
    # |z| <= 4, false alarm 6e-5
    rows, params = draw_shared(heavy_world, np.random.default_rng(1), 400_000), Params(interval=PLAIN)
    values = values_of(params, rows, 2000)
    assert abs(values.mean() - expectation(params, heavy_world)) <= 4 * stats.sem(values)


def test_rows_without_a_model_are_refused(rows) -> None:
    with pytest.raises(ValueError, match="estimator switch_dr needs rows.predicted"):
        estimate(Params(), rows._replace(predicted=None))
