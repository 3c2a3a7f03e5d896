"""What a scenario offers its users: declared ranges, exact tables, parts that add up, moments of change."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.drift import Params as DriftParams
from envs.drift import drift
from envs.reward import Weights, reward
from envs.surfaces.llm_outcome import Numbers
from envs.traffic import Context
from envs.world import Noise, Scenario

DRIFT = (DriftParams(shape="ramp", onset=3, duration=4, quality_factor=0.5), DriftParams(onset=9, token_factor=3.0))


def answer(scenario: Scenario, index: int, action: int, *, noise: Noise) -> tuple[Any, Any]:
    population = scenario.population
    context = Context(np.int32(index), population.task[index], population.features[index], np.int32(0))
    return scenario.world.outcome(scenario.params, np.int32(0), context, np.int32(action), noise=noise)


def test_the_table_holds_the_expected_reward_of_every_task_and_action(gsm8k_small: Scenario) -> None:
    table = gsm8k_small.table()
    assert table.shape == (256, 840)
    for index, action in ((0, 0), (100, 17), (255, 839)):
        ids = np.array([action], np.int32)
        parts = gsm8k_small.world.expected(gsm8k_small.params, np.int32(0), np.int32(index), ids)
        assert parts[1][0] == pytest.approx(table[index, action], rel=1e-14)


def test_the_table_is_the_reward_of_the_parts_with_each_tasks_own_weights(gsm8k_small: Scenario) -> None:
    parts, rewards = gsm8k_small.parts()
    assert {part.shape for part in parts} == {(256, 840)}
    assert np.array_equal(rewards, gsm8k_small.table())
    numbers = gsm8k_small.params
    assert isinstance(numbers, Numbers)
    worth = Weights(*numbers.weights.T[:, :, None])  # (n, 1) each
    np.testing.assert_allclose(reward(worth, parts), rewards, rtol=1e-13, atol=1e-15)


def test_the_reward_span_is_the_width_of_the_declared_range_of_expectations(gsm8k_small: Scenario) -> None:
    low, high = gsm8k_small.value_range
    assert gsm8k_small.reward_span == high - low > 0
    assert replace(gsm8k_small, reward_range=None).reward_span == high - low  # unbounded noise has a span too


def test_no_reward_leaves_the_declared_range(gsm8k_small: Scenario) -> None:
    table, (low, high) = gsm8k_small.table(), gsm8k_small.reward_range or (0.0, 0.0)
    assert low <= table.min() and table.max() <= high
    rng, world = np.random.default_rng(0), gsm8k_small.world
    for extreme in (0.0, 1.0 - 2.0**-53):
        for _ in range(200):
            index, action = int(rng.integers(256)), int(rng.integers(840))
            noise = Noise(np.full(world.n_uniform, extreme), np.full(world.n_normal, 40.0 * (extreme - 0.5)))
            assert low <= answer(gsm8k_small, index, action, noise=noise)[1] <= high


def test_traffic_weights_stand_by_task_and_sum_to_one(gsm8k_small: Scenario) -> None:
    assert gsm8k_small.weights() == pytest.approx(np.full(256, 1 / 256), rel=1e-12)


@pytest.mark.parametrize("n_evaluations", [1, 6, 50])
def test_regimes_begin_where_the_table_changes_and_nowhere_else(gsm8k_small: Scenario, n_evaluations: int) -> None:
    numbers = gsm8k_small.params
    assert isinstance(numbers, Numbers)
    moving = replace(gsm8k_small, params=numbers._replace(drift=drift(DRIFT)), drift=DRIFT)
    ids = np.arange(840, dtype=np.int32)

    def rewards(t: int) -> Any:
        return moving.world.expected(moving.params, np.int32(t), np.int32(0), ids)[1]

    changes = [t for t in range(1, n_evaluations) if not np.array_equal(rewards(t), rewards(t - 1))]
    assert moving.regimes(n_evaluations) == (0, *changes)
    if n_evaluations == 50:
        assert changes == [4, 5, 6, 7, 9]  # the ramp's quarters, and the step


def test_a_world_without_drift_has_one_regime(gsm8k_small: Scenario) -> None:
    assert gsm8k_small.regimes(220) == (0,)
    assert np.array_equal(gsm8k_small.table(t=219), gsm8k_small.table())
