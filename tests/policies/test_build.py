"""A scenario and a config become a bounded policy: spec, functions and numbers agree."""

import numpy as np
import pytest

from policies.approval import Params as ApprovalParams
from policies.build import bounded, learner_module, make_spec
from policies.constraints import Limits
from policies.constraints import Params as ConstraintParams
from policies.learners import linucb, thompson, uniform
from tests.examples import LEARNERS, LIMITS, small_world, under_limits

WORLD = small_world()


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_policy_is_named_after_its_module(kind: str) -> None:
    made = under_limits(LEARNERS[kind])
    assert made.name == kind.split()[0]
    assert learner_module(LEARNERS[kind]).__name__ == f"policies.learners.{made.name}"
    assert made.params.inner == LEARNERS[kind]
    assert made.learner.window is None
    assert made.policy.window is not None
    assert (made.policy.belief is None) == (made.learner.belief is None)


def test_the_spec_says_what_the_lattice_and_the_population_are() -> None:
    """5 temperatures, 5 max_tokens and 3 top_p each way: 75 slots; 4 pieces an axis at most."""
    spec = make_spec(WORLD, LIMITS, thompson.Params(n_draws=16, features="disjoint"))
    assert spec.shape == (6, 8, 3, 1, 1, 1)
    assert spec.k == 5 * 5 * 3
    assert spec.knots == (4, 4, 2, 0, 0, 0)
    assert spec.positions[0] == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1))
    assert spec.positions[3] == (0.0,)
    assert (spec.n_tasks, spec.d) == (2, WORLD.population.features.shape[1])
    assert (spec.features, spec.n_draws) == ("disjoint", 16)
    assert [WORLD.population.spec.names[i] for i in spec.interactions] == [
        "complexity_indicators",
        "description_length",
        "has_external_deps",
        "risk_tier",
    ]


def test_equal_specs_share_one_policy_whatever_their_numbers() -> None:
    first, second = under_limits(linucb.Params(alpha=0.5)), under_limits(linucb.Params(alpha=2.0))
    assert first.policy is second.policy
    assert first.spec == second.spec


def test_the_first_approved_action_is_the_baseline_where_legal() -> None:
    made = under_limits(uniform.Params())
    assert np.array_equal(made.params.start, WORLD.baseline)
    cold = ConstraintParams(temperature=Limits(highest="0.7"))
    two = ApprovalParams(rule="two_sample")
    moved = bounded(WORLD, constraints=cold, approval=two, learner=uniform.Params()).params.start
    homes = [WORLD.lattice.parameters(int(action)) for action in WORLD.baseline]
    assert [WORLD.lattice.parameters(int(action)) for action in moved] == [h | {"temperature": 0.7} for h in homes]


def test_improve_is_refused_for_a_learner_without_a_belief() -> None:
    with pytest.raises(ValueError, match="needs a belief"):
        bounded(WORLD, constraints=LIMITS, approval=ApprovalParams(rule="improve"), learner=uniform.Params())


def test_limits_that_leave_no_action_are_refused() -> None:
    none = ConstraintParams(max_tokens=Limits(highest="100"))
    with pytest.raises(ValueError, match=r"constraints.max_tokens allows .* no action would be left"):
        bounded(WORLD, constraints=none, approval=ApprovalParams(), learner=thompson.Params())
