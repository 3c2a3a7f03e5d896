"""Kernel estimates of actions that are numbers with a density."""

import numpy as np
import pytest
from scipy import integrate

from evaluators.continuous import DensityLog, Params, estimate, scores
from evaluators.intervals import hall, t
from evaluators.kernels import NAMES, density
from evaluators.rows import RewardRange

UNIT = np.array([[0.0, 1.0]])


def mean_reward(sent):
    return 0.8 - 0.6 * (sent - 0.3) ** 2


def draw(rng: np.random.Generator, n: int, wanted: float = 0.6) -> DensityLog:
    """A logger with density 0.5 + x on [0, 1]; rewards 0 or 1."""
    sent = (np.sqrt(0.25 + 2 * rng.random(n)) - 0.5)[:, None]  # the inverse of x / 2 + x^2 / 2
    reward = (rng.random(n) < mean_reward(sent[:, 0])).astype(float)
    target = np.full((n, 1), wanted)
    return DensityLog(reward, sent, 0.5 + sent[:, 0], target, UNIT, reward_range=RewardRange(0.0, 1.0))


def by_integral(name: str, wanted: float, width: float) -> float:
    """The reward smoothed by a kernel that is cut at 0 and 1."""
    ends = max(0.0, wanted - 9 * width), min(1.0, wanted + 9 * width)
    points = (max(ends[0], wanted - width), wanted, min(ends[1], wanted + width))

    def kernel(x):
        return density(name, np.array((x - wanted) / width))

    above, _ = integrate.quad(lambda x: kernel(x) * mean_reward(x), *ends, points=points)
    below, _ = integrate.quad(kernel, *ends, points=points)
    return float(above / below)


@pytest.mark.parametrize("kernel", NAMES)
@pytest.mark.parametrize("wanted", [0.6, 1.0])
def test_the_value_is_the_smoothed_reward_inside_and_at_an_end(kernel, wanted) -> None:
    # |z| <= 4 sixteen times: false alarm 1e-3
    params = Params((0.15,), kernel=kernel)
    log = draw(np.random.default_rng(0), 40_000, wanted)
    found = estimate(params, log, t.Params())
    assert abs(found.value - by_integral(kernel, wanted, 0.15)) <= 4 * found.stderr
    weight = scores(params, log).weight
    assert abs(weight.mean() - 1) <= 4 * weight.std() / np.sqrt(40_000)


def test_a_right_model_leaves_noise_only_and_removes_the_bias() -> None:
    log = draw(np.random.default_rng(1), 4000, 1.0)
    modelled = log._replace(at_sent=mean_reward(log.sent[:, 0]), at_wanted=mean_reward(log.wanted[:, 0]))
    found = estimate(Params((0.3,)), modelled, hall.Params())
    assert abs(found.value - mean_reward(1.0)) <= 4 * found.stderr
    noiseless = modelled._replace(reward=mean_reward(log.sent[:, 0]))
    exact = estimate(Params((0.3,)), noiseless, t.Params())
    assert exact.value == pytest.approx(mean_reward(1.0), rel=1e-12)


def test_two_axes_multiply_by_hand() -> None:
    # (1 - 0.5)(1 - 0.25) / (0.5 x 2 x 4) = 0.09375, on a reward of 2
    log = DensityLog(np.array([2.0]), np.array([[0.0, 1.0]]), np.array([0.5]), np.array([[1.0, 2.0]]))
    found = scores(Params((2.0, 4.0), kernel="triangular"), log)
    assert found.score() == pytest.approx([0.1875], rel=1e-12)


def test_the_origin_of_the_range_does_not_show() -> None:
    log = draw(np.random.default_rng(2), 300)
    here = estimate(Params(), log, t.Params())
    there = estimate(Params(), log._replace(reward_range=RewardRange(-3.0, 9.0)), t.Params())
    np.testing.assert_allclose(here, there, rtol=1e-10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"density": np.zeros(50)}, "density = 0 somewhere, need > 0"),
        ({"sent": np.zeros(50)}, r"sent has shape \(50,\), need finite numbers of shape \(50, 1\)"),
        ({"reward": np.full(50, np.nan)}, "reward has shape"),
        ({"at_sent": np.zeros(50)}, "need both or neither"),
        ({"wanted": np.full((50, 1), 1.5)}, "wanted lies outside the ends"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        scores(Params(), draw(np.random.default_rng(3), 50)._replace(**changes))
