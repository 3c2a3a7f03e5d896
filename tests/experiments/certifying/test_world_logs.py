"""Logs of a world are what their loggers say: exact propensities, the world's own rewards, at their own time."""

from functools import cache

import numpy as np
import pytest

from envs.randomness import Purpose
from experiments.certifying.world_logs import (
    BATCH,
    STRETCH,
    Logs,
    clock_of,
    draw_adaptive,
    draw_drifting,
    draw_frozen,
    probs_of,
)
from experiments.frozen import draw_log
from experiments.ope import value_of
from policies.masses import TOTAL
from tests.compiled import logger, world

LEARNING = (20, 2 * STRETCH)


@cache
def adaptive() -> Logs:
    return draw_adaptive(world(), logger(), master_seed=0, first=1, shape=LEARNING)


def assert_mean(values: np.ndarray, wanted: float) -> None:
    stderr = values.std(ddof=1) / np.sqrt(values.size)
    assert abs(values.mean() - wanted) <= 4 * stderr


def test_frozen_logs_are_the_rows_of_the_calls_in_order() -> None:
    logs = draw_frozen(world(), logger(), master_seed=0, first=7, shape=(3, 900))
    calls = [draw_log(world(), logger(), master_seed=0, purpose=Purpose.LOG, seed=seed) for seed in (7, 8)]
    for column, name in ((logs.row, "index"), (logs.slot, "slot"), (logs.reward, "reward")):
        wanted = np.concatenate([getattr(call, name) for call in calls])[:2700].reshape(3, 900)
        np.testing.assert_array_equal(column, wanted)
    np.testing.assert_array_equal(logs.part(1, 3).reward, logs.reward[1:])


def test_a_drifting_log_has_each_evaluations_own_rewards() -> None:
    scenario, horizon, n = world("drifting"), 10, 1000  # quality is halved from evaluation 4 on
    logs = draw_drifting(scenario, logger(), master_seed=0, first=1, shape=(20, n), horizon=horizon)
    for now, t in ((slice(0, 400), 0), (slice(400, n), 9)):
        assert_mean(logs.reward[:, now].reshape(-1), value_of(scenario, scenario.table(t=t), logger()))
    assert set(clock_of(n, horizon)[400:500]) == {4}


def test_a_learning_logger_begins_even_and_logs_exact_masses() -> None:
    masses, feasible = adaptive().masses, logger().masses[world().population.first] > 0
    assert masses is not None and masses.shape[:2] == (LEARNING[0], LEARNING[1] // BATCH)
    assert (masses.sum(axis=-1) == TOTAL).all() and (masses[..., ~feasible] == 0).all()
    assert (
        np.ptp(masses[:, 0][:, feasible].reshape(LEARNING[0], -1), axis=1).max() <= TOTAL / feasible.sum(axis=1).min()
    )
    assert np.abs(masses[:, 0] - feasible / feasible.sum(axis=1, keepdims=True) * TOTAL).max() <= 1


def test_a_learning_loggers_choices_follow_its_propensities() -> None:
    logs = adaptive()
    probs = probs_of(logs, world().population.task)
    propensity = probs[np.arange(len(probs)), logs.slot.reshape(-1)]
    feasible = (probs > 0).sum(axis=1)
    assert_mean(1 / (propensity * feasible), 1.0)  # weights of the even policy


def test_a_learning_loggers_rewards_are_the_worlds_and_it_does_better_in_time() -> None:
    logs, scenario = adaptive(), world()
    rewards = np.take_along_axis(scenario.table(), logger().windows.action_ids, axis=1)
    assert_mean((logs.reward - rewards[logs.row, logs.slot]).reshape(-1), 0.0)
    assert logs.masses is not None
    by_task = np.stack([rewards[scenario.population.task == i].mean(axis=0) for i in range(2)])
    value = (logs.masses / TOTAL * by_task).sum(axis=-1).mean(axis=-1)  # (logs, looks), exact
    assert_greater(value[:, -1] - value[:, 0])


def assert_greater(gain: np.ndarray) -> None:
    assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(gain.size)


def test_the_beginning_of_a_learning_log_does_not_know_its_length() -> None:
    short = draw_adaptive(world(), logger(), master_seed=0, first=1, shape=(2, STRETCH))
    np.testing.assert_array_equal(short.reward, adaptive().reward[:2, :STRETCH])


def test_learning_logs_of_odd_length_are_refused() -> None:
    with pytest.raises(ValueError, match=f"n = 250 rows, need a multiple of {STRETCH}"):
        draw_adaptive(world(), logger(), master_seed=0, first=1, shape=(1, 250))
