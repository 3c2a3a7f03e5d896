"""A traffic split is one vector: a share of the policy's, the rest on the incumbent."""

import numpy as np
import pytest

from envs import traffic
from policies.decide import Known, asked_in, decide
from policies.learners import thompson, uniform
from policies.masses import TOTAL
from policies.rolled_out import RolledOutParams, rolled_out
from tests.examples import small_world, under_limits
from tests.hand import SHARED, choice, decision, feedback, leaves, window


def test_the_split_by_hand() -> None:
    """A quarter of uniform over two slots: 1/8 each; the incumbent has 3/4 more."""
    policy = rolled_out(uniform.make(SHARED))
    params = RolledOutParams(uniform.Params(), np.float64(0.25))
    probs = policy.probs(params, (), decision(window([True, False, True], incumbent=2)), None)
    assert probs == pytest.approx([1 / 8, 0, 7 / 8])


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0, 0, 1]), (1.0, [0.5, 0, 0.5])])
def test_the_ends_are_the_incumbent_and_the_policy(share: float, expected: list[float]) -> None:
    policy, here = rolled_out(uniform.make(SHARED)), decision(window([True, False, True], incumbent=2))
    probs = policy.probs(RolledOutParams(uniform.Params(), np.float64(share)), (), here, None)
    assert probs == pytest.approx(expected)


def test_window_belief_and_learning_are_the_inner_policy() -> None:
    inner, params = thompson.make(SHARED), thompson.Params()
    outer, wrapped = rolled_out(inner), RolledOutParams(thompson.Params(), np.float64(0.1))
    here, seen = decision(window([True] * 9), features=[1, 2, 3]), (choice(1, 2), feedback(0.9))
    alone = inner.update(params, inner.init(params), here, *seen)
    state = outer.update(wrapped, outer.init(wrapped), here, *seen)
    assert leaves(state) == leaves(alone)
    assert outer.window is None
    assert inner.belief is not None
    assert outer.belief is not None
    where = (asked_in(here), here.window.action_ids)
    assert leaves(outer.belief(wrapped, state, *where)) == leaves(inner.belief(params, alone, *where))


def test_a_bounded_policy_splits_inside_its_window_and_its_propensity_says_so() -> None:
    world, made = small_world(), under_limits(uniform.Params())
    policy, params = rolled_out(made.policy), RolledOutParams(made.params, np.float64(0.5))
    state = policy.init(params)
    context = traffic.draw(world.traffic, traffic.start(2), np.full(3, 0.5))
    done = decide(policy, params, state, context, Known(np.int32(0), np.float64(1), np.int32(TOTAL // 2)))
    held = done.decision.window
    n = held.feasible.sum()
    assert done.masses[held.incumbent] / TOTAL == pytest.approx(0.5 + 0.5 / n, abs=n / TOTAL)
    assert done.choice.mass == done.masses[done.choice.slot]
