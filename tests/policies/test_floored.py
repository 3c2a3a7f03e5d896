"""The exploration floor, by hand and as a law."""

import pytest

from policies.decide import asked_in
from policies.floored import floored
from policies.learners import fixed, thompson
from tests.hand import SHARED, decision, generator, window


def test_a_point_mass_with_a_floor_by_hand() -> None:
    """0.3 over three feasible slots: 0.1 each; the incumbent has 0.7 more."""
    policy = floored(fixed.make(SHARED))
    held = window([True, True, False, True], incumbent=1)
    probs = policy.probs(fixed.Params(floor=0.3), (), decision(held), None)
    assert probs == pytest.approx([0.1, 0.8, 0, 0.1])


@pytest.mark.parametrize("seed", range(50))
def test_no_feasible_action_has_less_than_its_share_of_the_floor(seed: int) -> None:
    rng, params = generator(seed), thompson.Params(floor=0.2)
    policy, on = floored(thompson.make(SHARED)), rng.random(9) < 0.7
    on[4] = True
    here = decision(window(on, incumbent=4), features=rng.standard_normal(3))
    assert policy.belief is not None
    belief = policy.belief(params, policy.init(params), asked_in(here), here.window.action_ids)
    probs = policy.probs(params, None, here, belief)
    assert probs.sum() == pytest.approx(1)
    assert probs[on].min() >= 0.2 / on.sum() - 1e-15
    assert not probs[~on].any()


def test_a_floor_of_zero_changes_nothing_and_the_rest_is_the_inner_policy() -> None:
    inner = thompson.make(SHARED)
    outer = floored(inner)
    assert (outer.init, outer.belief, outer.update) == (inner.init, inner.belief, inner.update)
    assert floored(inner) is outer
    held = window([True, True], incumbent=1)
    assert floored(fixed.make(SHARED)).probs(fixed.Params(), (), decision(held), None).tolist() == [0, 1]
