"""What a scenario offers its users: a declared range and a table of the truth."""

from dataclasses import replace

import numpy as np
import pytest

from envs.world import N_NORMAL, N_UNIFORM, Noise, Scenario, WorldState


def test_the_table_holds_the_expected_reward_of_every_task_and_action(gsm8k_small: Scenario) -> None:
    table = gsm8k_small.table()
    assert table.shape == (256, 840)
    for index, action in ((0, 0), (100, 17), (255, 839)):
        ids = np.array([action], np.int32)
        parts = gsm8k_small.world.expected(gsm8k_small.params, WorldState(np.int32(0)), np.int32(index), ids)
        assert parts[1][0] == pytest.approx(table[index, action], rel=1e-14)


def test_the_reward_span_is_the_width_of_the_declared_range(gsm8k_small: Scenario) -> None:
    low, high = gsm8k_small.reward_range or (0.0, 0.0)
    assert gsm8k_small.reward_span == high - low > 0
    with pytest.raises(ValueError, match="world 'gsm8k_small' declares no reward range"):
        _ = replace(gsm8k_small, reward_range=None).reward_span


def test_no_reward_leaves_the_declared_range(gsm8k_small: Scenario) -> None:
    table, (low, high) = gsm8k_small.table(), gsm8k_small.reward_range or (0.0, 0.0)
    assert low <= table.min() and table.max() <= high
    rng = np.random.default_rng(0)
    world, state = gsm8k_small.world, WorldState(np.int32(0))
    for extreme in (0.0, 1.0 - 2.0**-53):
        for _ in range(200):
            index, action = np.int32(rng.integers(256)), np.int32(rng.integers(840))
            noise = Noise(np.full(N_UNIFORM, extreme), np.full(N_NORMAL, 40.0 * (extreme - 0.5)))
            reward = world.outcome(gsm8k_small.params, state, index, action, noise=noise)[1]
            assert low <= reward <= high


def test_a_world_counts_its_rounds(gsm8k_small: Scenario) -> None:
    world = gsm8k_small.world
    state = world.init(gsm8k_small.params)
    assert int(world.advance(gsm8k_small.params, state).rounds) == int(state.rounds) + 1 == 1
    assert state.rounds.dtype == np.int32


def test_contexts_of_a_task_type_are_drawn_uniformly_from_its_rows(gsm8k_small: Scenario) -> None:
    world, state = gsm8k_small.world, WorldState(np.int32(0))
    for task in (0, 1):
        draws = [
            world.context(gsm8k_small.params, state, np.int32(task), np.float64((i + 0.5) / 128)) for i in range(128)
        ]
        assert [int(c.index) for c in draws] == list(range(128 * task, 128 * (task + 1)))
        assert all(np.array_equal(c.features, gsm8k_small.population.features[int(c.index)]) for c in draws)
