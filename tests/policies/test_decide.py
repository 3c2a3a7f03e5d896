"""An action is drawn once, from the masses that are logged."""

import numpy as np
import pytest

from envs import traffic
from envs.traffic import Context
from policies.build import BoundedPolicy
from policies.decide import Known, decide, weigh
from policies.learners import uniform
from policies.masses import TOTAL
from tests.examples import LEARNERS, small_world, under_limits
from tests.hand import SHARED, decision, generator, window

KINDS = list(LEARNERS)
WORLD = small_world()


def drawn(made: BoundedPolicy, seed: int) -> Context:
    clock = traffic.start(2)._replace(rounds=np.int32(seed))  # task types take turns
    return traffic.draw(WORLD.traffic, clock, generator(seed).random(3))


def test_masses_of_a_vector_by_hand() -> None:
    here = decision(window([True, False, True]))
    assert weigh(uniform.make(SHARED), uniform.Params(), (), here).tolist() == [TOTAL // 2, 0, TOTAL // 2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_propensity_is_the_mass_of_the_drawn_slot(kind: str) -> None:
    made = under_limits(LEARNERS[kind])
    state = made.policy.init(made.params)
    for seed in range(10):
        context, uniform_draw = drawn(made, seed), np.int32(generator(seed).integers(TOTAL))
        done = decide(made.policy, made.params, state, context, Known(np.int32(0), np.float64(1), uniform_draw))
        slot, held = int(done.choice.slot), done.decision.window
        before = int(done.masses[:slot].sum())
        assert done.masses.sum() == TOTAL
        assert done.choice.mass == done.masses[slot] > 0
        assert before <= uniform_draw < before + done.choice.mass
        assert done.choice.action_id == held.action_ids[slot]
        assert held.feasible[slot]
        assert np.array_equal(weigh(made.policy, made.params, state, done.decision), done.masses)


def test_a_learner_without_a_window_is_refused() -> None:
    made = under_limits(uniform.Params())
    with pytest.raises(ValueError, match=r"no window: wrap it with policies.constrained.constrained"):
        decide(made.learner, uniform.Params(), (), drawn(made, 0), Known(np.int32(0), np.float64(1), np.int32(0)))
