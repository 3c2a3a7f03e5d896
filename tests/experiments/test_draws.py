"""Drawing a world in bulk: agreement with its expectations, and that a lie is seen."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import presets
from envs.surfaces import llm_outcome
from experiments.draws import MEASURED, Agreement, agreement, speed
from tests import compiled

DRAWS = 25_600  # one block


def test_drawn_means_agree_with_the_expectations_of_the_same_requests():
    found = agreement(compiled.world(), t=0, draws=DRAWS, master_seed=3)
    # 8 parts at 4.5 standard errors: a false alarm in 1 of 18,000 seeds
    assert found.n == DRAWS and np.abs(found.z).max() < 4.5


def test_a_world_whose_expectations_lie_is_caught():
    here = compiled.world()
    raised = here.params.tasks * np.array([1.05] + [1.0] * (here.params.tasks.shape[1] - 1))  # q0 of every task
    low = jax.tree.map(jnp.asarray, here.params._replace(tasks=raised))

    def lying(params, t, index, ids):
        return here.world.expected(low, t, index, ids)

    found = agreement(replace(here, world=here.world._replace(expected=lying)), t=0, draws=DRAWS, master_seed=3)
    assert abs(found.z[MEASURED.index("quality")]) > 4.5


def test_a_part_that_never_moves_agrees_exactly():
    found = agreement(compiled.world("flat"), t=0, draws=DRAWS, master_seed=3)
    assert found.z[MEASURED.index("failure")] == 0.0


def test_a_difference_without_any_spread_is_no_agreement():
    lie = Agreement(10, np.array([1.0]), np.array([2.0]), np.array([0.0]))
    assert abs(lie.z[0]) > 1e6


def test_agreement_is_told_at_the_evaluation_asked_for():
    moved = compiled.world("drifting")
    before, after = (agreement(moved, t=t, draws=DRAWS, master_seed=3) for t in (0, 10))
    assert np.abs(after.z).max() < 4.5
    assert after.exact[0] < 0.7 * before.exact[0]  # quality is halved


def test_speed_counts_whole_blocks_and_tells_how_memory_grew():
    found = speed(compiled.world(), seeds=(1, 200), repeats=1, precision="float32")
    assert found.seeds == (128, 256) and found.per_cpu_second > 0 and found.growth_mib >= 0


@pytest.mark.parametrize("name", ["gpqa_models", "mcqa_paired"])
def test_models_difficulty_and_pairing_leave_the_means_alone(name):
    params = presets.load("world", name)
    assert isinstance(params, llm_outcome.Params)
    found = agreement(llm_outcome.build(replace(params, contexts_per_type=8)), t=0, draws=DRAWS, master_seed=5)
    assert np.abs(found.z).max() < 4.5
