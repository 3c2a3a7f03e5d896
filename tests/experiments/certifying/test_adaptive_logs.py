"""The part on arm means: its estimators in the small, the whole of it once."""

import numpy as np
import pytest

from evaluators.hajek import arm_mean
from experiments.certifying.adaptive_logs import NOISE_SIGNALS, certify_adaptive_logs, methods, noises
from experiments.certifying.arms import SIGNALS, draw_logs


@pytest.fixture(scope="module")
def found():
    return certify_adaptive_logs(40, 3)


def test_every_arm_signal_size_and_method_is_measured(found) -> None:
    keys = {(row.world, row.policy, row.estimator, row.n, row.measure) for row in found.measurements}
    assert len(keys) == len(found.measurements)
    for signal in SIGNALS:
        for arm in range(3):
            for method in ("hajek_pooled", "hajek_hc2", "sample_mean", "two_point_z"):
                assert {(signal, f"arm {arm}", method, n, "coverage") for n in (200, 1000, 5000)} <= keys
            for noise in noises(1000) if signal in NOISE_SIGNALS else ():
                assert (f"{signal}_{noise}", f"arm {arm}", "hajek_hc2", 1000, "coverage") in keys


def test_forty_logs_are_too_few_to_judge(found) -> None:
    assert len(found.claims) == 12
    assert all(claim.holds is None for claim in found.claims)


def test_the_same_seed_measures_the_same() -> None:
    first, second = (certify_adaptive_logs(3, 5) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("variance", ["pooled", "hc2"])
def test_the_judged_intervals_are_the_shipped_ones(variance) -> None:
    logs = draw_logs(np.random.default_rng(2), np.array([SIGNALS["low_signal"]]), n_logs=5, n_rounds=300)
    given = (logs.reward, logs.action == 1, logs.rounds(logs.prob[..., 1]))
    shipped = arm_mean(given[0], given[1], propensity=given[2], variance=variance)
    for one, other in zip(methods(*given)[f"hajek_{variance}"], shipped, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_two_point_scores_are_unbiased_on_the_starved_arm() -> None:
    # the sum of h (score - mean) is a martingale: 1,500 logs, |z| <= 4
    mean = np.array([SIGNALS["high_signal"]])
    logs = draw_logs(np.random.default_rng(0), mean, n_logs=1500, n_rounds=200)
    fits = methods(logs.reward, logs.action == 0, logs.rounds(logs.prob[..., 0]))
    error = fits["two_point_z"].value - 0.5
    # the division by sum h leaves a bias of second order; a tenth of the spread is allowed for it
    assert abs(error.mean()) <= 4 * error.std() / np.sqrt(1500) + 0.1 * error.std()


def test_the_sample_mean_of_logs_that_learn_is_biased_downwards() -> None:
    mean = np.array([SIGNALS["no_signal"]])
    logs = draw_logs(np.random.default_rng(1), mean, n_logs=1500, n_rounds=200)
    error = methods(logs.reward, logs.action == 0, logs.rounds(logs.prob[..., 0]))["sample_mean"].value - 1.0
    assert error.mean() <= -4 * error.std() / np.sqrt(1500)


def test_noises_keep_their_ends() -> None:
    kinds = noises(1000)
    assert kinds["rising_noise"][[0, -1], 0, 0] == pytest.approx([0.2, 1.8])
    assert kinds["falling_noise"][[0, -1], 0, 0] == pytest.approx([1.8, 0.2])
    assert kinds["noise_by_arm"].shape == (1, 1, 3)
