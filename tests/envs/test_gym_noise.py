"""Noise in blocks is the noise of whole episodes, and one program draws it for nearly all worlds."""

from typing import Any, cast

import jax
import numpy as np
import pytest

from envs import gym_noise, presets
from envs.gym_noise import BLOCK, block
from envs.randomness import Purpose, episode_noise, sizes_of
from envs.world import Scenario

N_ROUNDS = 2 * BLOCK


@pytest.mark.parametrize("begin", [0, 1, 77, BLOCK])
def test_a_block_is_those_rounds_of_the_whole_episode(gsm8k_small: Scenario, begin: int) -> None:
    world, seeds = gsm8k_small.world, np.array([3, 8], np.int32)
    drawn = block(7, seeds, np.array([begin, 5], np.int32), world=world)
    for place, first in enumerate((begin, 5)):
        whole = episode_noise(7, Purpose.TRAIN, seeds[place], n_rounds=N_ROUNDS, sizes=sizes_of(world), dtype="float64")
        for mine, theirs in zip(jax.tree.leaves(drawn), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(np.asarray(mine)[place], np.asarray(theirs)[first : first + BLOCK])


def test_worlds_that_consume_other_amounts_share_a_program() -> None:
    seeds = begins = np.zeros(1, np.int32)
    consumed, program = set(), cast(Any, gym_noise._drawn)
    program.clear_cache()
    for name in presets.simulated():
        world = presets.scenario(name).world
        drawn = block(0, seeds, begins, world=world)
        assert drawn.outcome.uniform.shape == (1, BLOCK, world.n_uniform)
        assert drawn.outcome.normal.shape == (1, BLOCK, world.n_normal)
        consumed.add(sizes_of(world))
    assert len(consumed) > 1
    assert program._cache_size() == 1


def test_blocks_are_float64_whatever_the_callers_jax_uses(gsm8k_small: Scenario) -> None:
    seeds = begins = np.zeros(1, np.int32)
    wide = block(0, seeds, begins, world=gsm8k_small.world)
    with jax.enable_x64(False):
        again = block(0, seeds, begins, world=gsm8k_small.world)
        assert again.context.dtype == np.float64
        np.testing.assert_array_equal(np.asarray(again.context), np.asarray(wide.context))
