"""Lanes are episodes that do not touch each other: one that stays, stays bit for bit."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import feedback as mail
from envs.gym_lanes import Program, ask, fresh_lane, numbers_of, play, renewed
from envs.gym_noise import block, own_jax
from envs.gym_stage import Settings, Stage, stage
from tests import compiled

N = 3
LATE = mail.Params(mean_delay=3.0, max_delay=6)


@pytest.fixture(scope="module")
def here() -> Stage:
    return stage(Settings(compiled.world("drifting"), feedback=LATE), ())


def many(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * N), tree)


def same(one: Any, two: Any, rows: list[int]) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(np.asarray(a)[rows], np.asarray(b)[rows])


def test_lanes_that_stay_are_unchanged_and_the_others_do_not_notice(here: Stage) -> None:
    with own_jax():
        numbers, lanes = numbers_of(here), many(fresh_lane(here))
        noise = block(0, np.arange(N, dtype=np.int32), np.zeros(N, np.int32), world=here.scenario.world)
        run = partial(play, Program(here.scenario.world, here.form), numbers)
        rows = np.zeros(N, np.int32)
        all_played = run(lanes, noise, rows, actions=np.array([5, 6, 7], np.int32))
        one_stayed = run(lanes, noise, rows, actions=np.array([5, -1, 7], np.int32))
        same(all_played, one_stayed, [0, 2])
        same(lanes, one_stayed[0], [1])
        same(ask(numbers, lanes, noise, rows), one_stayed[2], [1])
        assert np.asarray(one_stayed[1].is_played).tolist() == [True, False, True]
        assert np.asarray(all_played[0].clock.rounds).tolist() == [1, 1, 1]


def test_only_the_masked_lanes_begin_again(here: Stage) -> None:
    with own_jax():
        fresh = fresh_lane(here)
        moved = jax.tree.map(lambda leaf: leaf + jnp.ones((), leaf.dtype), many(fresh))
        mixed = renewed(moved, fresh, np.array([True, False, True]))
        same(mixed, many(fresh), [0, 2])
        same(mixed, moved, [1])
