"""Hajek means: hand-computed numbers, the textbook regression, and what moves with what."""

import numpy as np
import pytest
from scipy.special import stdtrit

from evaluators.adaptive_weights import two_point
from evaluators.hajek import Fitted, arm_mean, hc2, pooled, weighted_mean


def log(rng, n_rounds=60, n_logs=4):
    propensity = rng.uniform(0.1, 0.9, size=(n_logs, n_rounds))
    played = rng.random(propensity.shape) < propensity
    return rng.normal(2.0, 1.0, size=propensity.shape), played, propensity


def test_equal_weights_give_the_sample_mean_and_its_t_interval() -> None:
    reward, played, _ = log(np.random.default_rng(0), n_logs=1)
    fitted = arm_mean(reward, played, propensity=np.ones_like(reward), allocation="equal")
    seen = reward[played]
    half = stdtrit(seen.size - 1, 0.975) * seen.std(ddof=1) / np.sqrt(seen.size)
    np.testing.assert_allclose(fitted.value[0], seen.mean(), rtol=1e-12)
    lo, hi = fitted.bounds()
    np.testing.assert_allclose([lo[0], hi[0]], [seen.mean() - half, seen.mean() + half], rtol=1e-9)


@pytest.mark.parametrize("variance", ["pooled", "hc2"])
def test_an_arm_is_fitted_as_a_loop_over_its_pulls_says(variance) -> None:
    reward, played, propensity = log(np.random.default_rng(1))
    fitted = arm_mean(reward, played, propensity=propensity, variance=variance)
    weight = two_point(propensity) / propensity
    for i in range(4):
        y, w = reward[i, played[i]], weight[i, played[i]]
        own = w / w.sum()
        value = own @ y
        if variance == "pooled":
            stderr, df = np.sqrt(y.var(ddof=1) * own @ own), y.size - 1
        else:
            stderr = np.sqrt(sum(a * a * (r - value) ** 2 / (1 - a) for a, r in zip(own, y, strict=True)))
            df = (own**2).sum() ** 2 / (own**4).sum() - 1
        got = [fitted.value[i], fitted.stderr[i], fitted.df[i]]
        np.testing.assert_allclose(got, [value, stderr, df], rtol=1e-9)


def test_rounds_that_did_not_play_the_arm_have_no_say() -> None:
    reward, played, propensity = log(np.random.default_rng(2))
    wild = np.where(played, reward, 1e6)
    for variance in ("pooled", "hc2"):
        before, after = (arm_mean(y, played, propensity=propensity, variance=variance) for y in (reward, wild))
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_intervals_move_and_stretch_with_the_reward() -> None:
    reward, played, propensity = log(np.random.default_rng(3))
    for variance in ("pooled", "hc2"):
        plain, moved = (arm_mean(y, played, propensity=propensity, variance=variance) for y in (reward, 3 * reward - 7))
        np.testing.assert_allclose(moved.value, 3 * plain.value - 7, rtol=1e-9)
        np.testing.assert_allclose(moved.stderr, 3 * plain.stderr, rtol=1e-9)


def test_a_model_that_is_constant_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    reward, weight, round_weight = rng.normal(size=(3, 50)), rng.exponential(size=(3, 50)), rng.random((3, 50))
    bare = hc2(reward, weight)
    flat = hc2(reward - 5.0, weight, part=np.full((3, 50), 5.0), round_weight=round_weight)
    for one, other in zip(bare, flat, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_an_exact_model_leaves_the_spread_of_the_parts() -> None:
    part = np.array([[0.0, 1.0, 2.0, 3.0]])
    fitted = hc2(np.zeros((1, 4)), np.ones((1, 4)), part=part, round_weight=np.ones((1, 4)))
    # mean 1.5, sum (x - 1.5)^2 = 5, / 4^2
    np.testing.assert_allclose([fitted.value[0], fitted.stderr[0]], [1.5, np.sqrt(5 / 16)])


def test_weighted_scores_with_equal_weights_are_a_mean() -> None:
    score = np.array([[1.0, 2.0, 6.0]])
    fitted = weighted_mean(score, np.ones((1, 3)))
    # squares about 3: 4 + 1 + 9 = 14, / 3^2
    np.testing.assert_allclose([fitted.value[0], fitted.stderr[0]], [3.0, np.sqrt(14 / 9)])
    half = fitted.bounds().hi[0] - 3.0
    assert half == pytest.approx(1.959964 * np.sqrt(14 / 9), rel=1e-6)


@pytest.mark.parametrize("hits", [0, 1])
def test_too_few_pulls_give_the_whole_line(hits) -> None:
    played = np.arange(20)[None] < hits
    for variance in ("pooled", "hc2"):
        lo, hi = arm_mean(np.ones((1, 20)), played, propensity=np.full((1, 20), 0.1), variance=variance).bounds()
        assert (lo[0], hi[0]) == (-np.inf, np.inf)


def test_no_pull_has_no_value() -> None:
    assert np.isnan(pooled(np.ones((2, 5)), np.zeros((2, 5))).value).all()
    assert np.isnan(hc2(np.ones((2, 5)), np.zeros((2, 5))).value).all()


def test_bounds_need_one_degree_of_freedom() -> None:
    lo, hi = Fitted(np.zeros(3), np.ones(3), np.array([0.5, 1.0, np.inf])).bounds()
    assert np.isneginf(lo[0]) and np.isposinf(hi[0])
    # Student's t with one degree of freedom: tan(0.475 pi)
    np.testing.assert_allclose(hi[1:], [np.tan(0.475 * np.pi), 1.959963985], rtol=1e-6)


def test_what_is_unknown_or_half_given_is_refused() -> None:
    reward, played, propensity = log(np.random.default_rng(5))
    with pytest.raises(ValueError, match="variance = 'hc9', need one of pooled, hc2"):
        arm_mean(reward, played, propensity=propensity, variance="hc9")
    with pytest.raises(ValueError, match="allocation = 'none'"):
        arm_mean(reward, played, propensity=propensity, allocation="none")
    with pytest.raises(ValueError, match="need the weight h_t of every round"):
        hc2(reward, propensity, part=reward)
