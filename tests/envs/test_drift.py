"""One step, counted in evaluations."""

import jax.numpy as jnp
import numpy as np
import pytest

from envs.drift import NEVER, Params, drift, has_begun
from envs.world import Scenario, WorldState


def test_a_step_is_off_before_its_onset_and_on_from_it() -> None:
    assert has_begun(drift(Params(onset=2)), np.arange(4)).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert has_begun(drift(Params(onset=2)), jnp.arange(4, dtype=jnp.int32)).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_the_default_never_begins_and_would_change_nothing() -> None:
    leaves = drift(Params())
    assert has_begun(leaves, np.array([0, NEVER - 1])).tolist() == [0.0, 0.0]
    assert leaves == (NEVER, 1.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("onset", [0, 7])
def test_a_world_moves_at_round_onset_times_task_types(gsm8k_small: Scenario, onset: int) -> None:
    moved = gsm8k_small.params._replace(drift=drift(Params(onset=onset, quality_factor=0.5)))
    world, ids = gsm8k_small.world, np.arange(3, dtype=np.int32)

    def quality(rounds: int) -> np.ndarray:
        return np.asarray(world.expected(moved, WorldState(np.int32(rounds)), np.int32(0), ids)[0].quality)

    before = world.expected(gsm8k_small.params, WorldState(np.int32(0)), np.int32(0), ids)[0].quality
    if onset:
        assert np.array_equal(quality(2 * onset - 1), before)
    assert quality(2 * onset) == pytest.approx(0.5 * before, rel=1e-12)
