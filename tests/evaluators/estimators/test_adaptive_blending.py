"""Oracle 9's kin: a cap of 0 is the direct method, infinity is IPS, and between them nothing jumps."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators import clipped_ips, direct, ips
from evaluators.estimators.adaptive_blending import Params
from evaluators.intervals import assisted, t
from evaluators.rows import Rows, logged

PLAIN = t.Params()


@pytest.fixture
def rows(heavy_world):
    return heavy_world.draw(np.random.default_rng(0), 400)[0]


def test_the_value_by_hand() -> None:
    # weights 4 and 0.25, cap 2: half of the first slot's 0.8 is the model's, 0.4 * 0.5 = 0.2; then 2 * 1
    rows = Rows(np.ones(1), np.zeros(1, np.int64), np.array([[0.2, 0.8]]), np.array([[0.8, 0.2]]), np.array([[0.5, 1]]))
    assert estimate(Params(max_weight=2.0, interval=PLAIN), rows).value == pytest.approx(2.2, rel=1e-12)


def test_a_cap_of_zero_is_the_direct_method(rows) -> None:
    wanted = estimate(direct.Params(), rows)
    np.testing.assert_allclose(estimate(Params(max_weight=0.0, interval=PLAIN), rows), wanted, rtol=1e-12)


def test_a_cap_of_infinity_is_ips(rows) -> None:
    wanted = estimate(ips.Params(), rows)
    np.testing.assert_allclose(estimate(Params(max_weight=np.inf, interval=PLAIN), rows), wanted, rtol=1e-12)


def test_a_model_of_zeros_is_clipped_ips(rows) -> None:
    empty = rows._replace(predicted=np.zeros_like(rows.behavior))
    wanted = estimate(clipped_ips.Params(max_weight=7.0), rows)
    np.testing.assert_allclose(estimate(Params(max_weight=7.0, interval=PLAIN), empty), wanted, rtol=1e-12)


@pytest.mark.parametrize("cap", [0.3, 5.0, 30.0])
def test_the_shares_of_model_and_rewards_are_the_published_ones(rows, cap) -> None:
    weight = rows.target / rows.behavior
    by_reward = np.minimum(cap / weight, 1.0)
    scores = (rows.target * (1 - by_reward) * rows.predicted).sum(axis=1)
    scores = scores + logged(weight * by_reward, rows.slot) * rows.reward
    assert estimate(Params(max_weight=cap, interval=PLAIN), rows).value == pytest.approx(scores.mean(), rel=1e-11)


def test_a_slot_that_the_logger_never_took_is_the_models_alone() -> None:
    # slot 1 has 0.6 of the target and a model of 0.5; slot 0 weighs 0.4 under any cap above
    behavior, target = np.array([[1.0, 0.0]] * 2), np.array([[0.4, 0.6]] * 2)
    rows = Rows(np.array([1.0, 0.0]), np.zeros(2, np.int64), behavior, target, np.array([[0.9, 0.5]] * 2))
    assert estimate(Params(interval=PLAIN), rows).value == pytest.approx(0.6 * 0.5 + 0.4 * 0.5, rel=1e-12)


def test_a_perfect_model_makes_every_cap_unbiased_and_a_wrong_one_does_not(heavy_world, expectation) -> None:
    perfect, truth, caps = heavy_world._replace(model=heavy_world.mean), heavy_world.truth(), (0.0, 1.0, 30.0, np.inf)
    for cap in caps:
        assert expectation(Params(max_weight=cap), perfect) == pytest.approx(truth, abs=1e-12)
    bias = [expectation(Params(max_weight=cap), heavy_world) - truth for cap in caps]
    assert bias == sorted(bias, reverse=True)  # the model overrates what the target likes
    assert bias[-1] == pytest.approx(0.0, abs=1e-12)


def test_the_mean_over_2000_logs_of_200_is_its_expectation(heavy_world, draw_shared, values_of, expectation) -> None:
    # |z| <= 4, false alarm 6e-5
    rows = draw_shared(heavy_world, np.random.default_rng(1), 400_000)
    values = values_of(Params(interval=PLAIN), rows, 2000)
    assert abs(values.mean() - expectation(Params(), heavy_world)) <= 4 * stats.sem(values)


def test_the_default_interval_is_the_assisted_one_which_halves_the_squared_error(
    heavy_world, draw_shared, values_of
) -> None:
    # without a model part in the residual the control variate has much to take away
    assert Params().interval == assisted.Params()
    rows = draw_shared(heavy_world, np.random.default_rng(1), 400_000)
    plain, helped = ((values_of(p, rows, 2000) - heavy_world.truth()) ** 2 for p in (Params(interval=PLAIN), Params()))
    gain = plain / 2 - helped
    assert gain.mean() > 4 * stats.sem(gain)


def test_what_cannot_be_done_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="estimator adaptive_blending needs rows.predicted"):
        estimate(Params(), rows._replace(predicted=None))
    known = np.where(np.arange(50) == rows.slot[:, None], rows.behavior, np.nan)
    with pytest.raises(ValueError, match="adaptive_blending needs the logger's whole distribution of every row"):
        estimate(Params(), rows._replace(behavior=known, is_partial=True))
