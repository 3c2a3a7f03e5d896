"""The learner's logs: exact probabilities, floors, and the law of what is drawn."""

import numpy as np
import pytest
from scipy.special import ndtr

from experiments.certifying.arms import SIGNALS, draw_logs, floored, thompson, versions

HIGH = np.array([SIGNALS["high_signal"]])


def test_two_normals_are_compared_as_the_closed_form_says() -> None:
    rng = np.random.default_rng(0)
    mean, stderr = rng.normal(size=(500, 2)), np.exp(rng.uniform(-2, 0, size=(500, 2)))
    wanted = ndtr((mean[:, 0] - mean[:, 1]) / np.sqrt((stderr**2).sum(axis=1)))
    np.testing.assert_allclose(thompson(mean, stderr)[:, 0], wanted, atol=1e-5)


def test_equal_arms_are_equally_likely() -> None:
    np.testing.assert_allclose(thompson(np.zeros((1, 4)), np.full((1, 4), 0.2)), 0.25, atol=1e-9)


def test_five_normals_are_compared_as_draws_say() -> None:
    # 200,000 draws, |z| <= 4 for five shares: false alarm 3e-4
    rng = np.random.default_rng(1)
    mean, stderr = rng.normal(size=5), np.exp(rng.uniform(-1.5, 0, size=5))
    best = np.bincount((mean + stderr * rng.normal(size=(200_000, 5))).argmax(axis=1), minlength=5) / 200_000
    prob = thompson(mean, stderr)
    assert (np.abs(best - prob) <= 4 * np.sqrt(prob * (1 - prob) / 200_000) + 1e-5).all()


def test_a_floor_holds_and_keeps_the_sum() -> None:
    prob = np.random.default_rng(2).dirichlet(np.full(4, 0.1), size=300)
    found = floored(prob, 0.05)
    assert found.min() >= 0.05 - 1e-12
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    kept = prob.min(axis=1) > 0.05
    np.testing.assert_allclose(found[kept], prob[kept])


def test_the_learner_looks_every_twenty_rounds_after_three_of_each_action() -> None:
    found = versions(60, 3)
    assert found[:9].tolist() == [0] * 9
    assert found[9:29].tolist() == [1] * 20
    assert found[49] == 3


def test_what_is_believed_comes_from_the_earlier_rounds() -> None:
    logs = draw_logs(np.random.default_rng(3), np.tile(HIGH, (2, 1)), n_logs=5, n_rounds=129)
    assert (logs.believed[0] == 0).all()
    for look, start in ((1, 9), (3, 49), (6, 109)):
        for log, context in np.ndindex(5, 2):
            reward, here = logs.reward[log, :start], logs.context[log, :start] == context
            level = (reward[here].sum() + reward.mean()) / (here.sum() + 1)
            for action in range(3):
                hit = here & (logs.action[log, :start] == action)
                wanted = (reward[hit].sum() + level) / (hit.sum() + 1)
                assert logs.believed[look, log, context, action] == pytest.approx(wanted)


def test_actions_follow_the_logged_probabilities_and_rewards_their_means() -> None:
    # 300 logs x 400 rounds: a martingale over its predictable variance, |z| <= 4 for 2 x 3 figures
    logs = draw_logs(np.random.default_rng(4), HIGH, n_logs=300, n_rounds=400)
    for arm in range(3):
        prob = logs.rounds(logs.prob[..., arm])
        hit = logs.action == arm
        assert abs((hit - prob).sum()) <= 4 * np.sqrt((prob * (1 - prob)).sum())
        gap = logs.reward[hit] - HIGH[0, arm]
        assert abs(gap.sum()) <= 4 * np.sqrt(hit.sum() / 3)
        assert np.abs(gap).max() <= 1.0


def test_probabilities_never_fall_below_the_floor() -> None:
    logs = draw_logs(np.random.default_rng(5), HIGH, n_logs=20, n_rounds=300)
    # the floor of the look in force at the last round, which began at 289
    assert logs.prob[-1].min() >= 290**-0.7 / 3 - 1e-12
    np.testing.assert_allclose(logs.prob.sum(axis=-1), 1.0, rtol=1e-9)


def test_noise_is_as_wide_as_it_was_told() -> None:
    width = np.linspace(0.1, 1.0, 200)[:, None, None] * np.array([1.0, 0.5, 0.0])
    logs = draw_logs(np.random.default_rng(6), HIGH, n_logs=50, n_rounds=200, half_width=width)
    gap = np.abs(logs.reward - HIGH[0][logs.action])
    allowed = width[np.arange(200), 0, logs.action]
    assert (gap <= allowed + 1e-12).all()
    assert gap[logs.action == 0].max() > 0.5


def test_the_same_generator_draws_the_same_logs() -> None:
    first, second = (draw_logs(np.random.default_rng(7), HIGH, n_logs=4, n_rounds=50) for _ in range(2))
    for name in ("context", "action", "reward", "prob", "believed"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_a_cut_log_is_the_start_of_the_log() -> None:
    logs = draw_logs(np.random.default_rng(8), HIGH, n_logs=4, n_rounds=90)
    short = logs.cut(40)
    assert np.array_equal(short.rounds(short.prob), logs.rounds(logs.prob)[:, :40])
    assert np.array_equal(short.reward, logs.reward[:, :40])
