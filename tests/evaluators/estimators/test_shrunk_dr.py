"""Oracle 9: no weight left is the direct method, all of it is doubly robust, for either kind."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import direct, doubly_robust
from evaluators.estimators.shrunk_dr import KINDS, Params, shrink
from evaluators.intervals import assisted, t

PLAIN = t.Params()
WEIGHTS = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 400)])
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def rows(heavy_world):
    return heavy_world.draw(np.random.default_rng(0), 400)[0]


@every_kind
def test_a_shrinkage_of_zero_is_the_direct_method(rows, kind) -> None:
    wanted = estimate(direct.Params(), rows)
    np.testing.assert_allclose(estimate(Params(kind, 0.0, interval=PLAIN), rows), wanted, rtol=1e-12)


@every_kind
@pytest.mark.parametrize("shrinkage", [1e24, np.inf])
@pytest.mark.parametrize("interval", [PLAIN, assisted.Params()], ids=["t", "assisted"])
def test_a_shrinkage_of_infinity_is_doubly_robust(rows, kind, shrinkage, interval) -> None:
    wanted = estimate(doubly_robust.Params(interval=interval), rows)
    np.testing.assert_allclose(estimate(Params(kind, shrinkage, interval=interval), rows), wanted, rtol=1e-9)


@pytest.mark.parametrize("shrinkage", [0.5, 4.0, 900.0])
def test_the_optimistic_weight_is_the_published_one_and_peaks_at_half_the_root(shrinkage) -> None:
    found = shrink(Params("optimistic", shrinkage), WEIGHTS)
    np.testing.assert_allclose(found, shrinkage * WEIGHTS / (WEIGHTS**2 + shrinkage), rtol=1e-12)
    root = np.sqrt(shrinkage)
    assert found.max() <= root / 2 * (1 + 1e-12)
    assert shrink(Params("optimistic", shrinkage), np.array([root]))[0] == pytest.approx(root / 2, rel=1e-12)


def test_the_pessimistic_weight_is_cut() -> None:
    np.testing.assert_array_equal(shrink(Params("pessimistic", 3.0), np.array([0.0, 2.0, 3.0, 8.0])), [0, 2, 3, 3])


@every_kind
def test_no_weight_grows_and_more_shrinkage_leaves_less(kind) -> None:
    left = [shrink(Params(kind, amount), WEIGHTS) for amount in (0.0, 0.1, 1.0, 10.0, 1e3, np.inf)]
    for less, more in zip(left, left[1:], strict=False):
        assert np.all(less <= more)
    assert np.all(left[-1] == WEIGHTS)


@every_kind
def test_the_mean_over_2000_logs_of_200_is_its_expectation(
    heavy_world, draw_shared, values_of, expectation, kind
) -> None:
    # |z| <= 4, false alarm 6e-5
    rows, params = draw_shared(heavy_world, np.random.default_rng(1), 400_000), Params(kind, 30.0, interval=PLAIN)
    values = values_of(params, rows, 2000)
    assert abs(values.mean() - expectation(params, heavy_world)) <= 4 * stats.sem(values)


def test_the_models_error_comes_back_as_weights_shrink(heavy_world, expectation) -> None:
    truth = heavy_world.truth()
    bias = [expectation(Params(shrinkage=amount), heavy_world) - truth for amount in (0.0, 1.0, 100.0, 1e4, np.inf)]
    assert bias == sorted(bias, reverse=True)  # the model overrates what the target likes
    assert bias[-1] == pytest.approx(0.0, abs=1e-12)


def test_what_cannot_be_done_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="estimator shrunk_dr needs rows.predicted"):
        estimate(Params(), rows._replace(predicted=None))
    with pytest.raises(ValueError, match="kind = 'mild', need one of optimistic, pessimistic"):
        estimate(Params(kind="mild"), rows)
