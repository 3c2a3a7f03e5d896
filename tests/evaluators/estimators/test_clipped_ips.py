"""Oracle 8: a cap of infinity is IPS; for rewards >= 0 the bias is never positive and falls with the cap."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import ips
from evaluators.estimators.clipped_ips import Params
from evaluators.rows import Rows

CAPS = (0.1, 0.5, 1.0, 3.0, 10.0, 30.0, 100.0, 1e4, np.inf)


def test_the_value_by_hand() -> None:
    # weights 4, 0.5, 1 on rewards 1, 1, 0.5; the first is cut at 2: (2 + 0.5 + 0.5) / 3
    behavior, target = np.tile([0.2, 0.8], (3, 1)), np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8]])
    rows = Rows(np.array([1.0, 1.0, 0.5]), np.array([0, 1, 1]), behavior, target)
    assert estimate(Params(max_weight=2.0), rows).value == pytest.approx(1.0, rel=1e-12)


def test_a_cap_of_infinity_is_ips(heavy_world) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(0), 400)
    wanted = estimate(ips.Params(), rows)
    np.testing.assert_allclose(estimate(Params(max_weight=np.inf), rows), wanted, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_value_never_falls_when_the_cap_rises_and_never_passes_ips(heavy_world, seed) -> None:
    rows, _ = heavy_world.draw(np.random.default_rng(seed), 400)
    values = [estimate(Params(max_weight=cap), rows).value for cap in CAPS]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_the_bias_is_never_positive_and_shrinks_with_the_cap(heavy_world, expectation) -> None:
    bias = [expectation(Params(max_weight=cap), heavy_world) - heavy_world.truth() for cap in CAPS]
    assert bias == sorted(bias)
    assert bias[0] < -0.1
    assert bias[-1] == pytest.approx(0.0, abs=1e-12)


def test_the_mean_over_2000_logs_of_200_is_the_clipped_expectation(
    heavy_world, draw_shared, values_of, expectation
) -> None:
    # |z| <= 4, false alarm 6e-5
    rows = draw_shared(heavy_world, np.random.default_rng(1), 400_000)
    values = values_of(Params(), rows, 2000)
    assert abs(values.mean() - expectation(Params(), heavy_world)) <= 4 * stats.sem(values)


def test_on_heavy_weights_the_bias_costs_less_than_the_variance_saved(heavy_world, draw_shared, values_of) -> None:
    # the paired difference of squared errors over 2,000 logs lies 4 standard errors on one side
    rows = draw_shared(heavy_world, np.random.default_rng(1), 400_000)
    clipped, plain = ((values_of(p, rows, 2000) - heavy_world.truth()) ** 2 for p in (Params(), ips.Params()))
    gain = plain - clipped
    assert gain.mean() > 4 * stats.sem(gain)
