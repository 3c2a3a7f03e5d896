"""The honest logger: every feasible action alike."""

import numpy as np
import pytest

from policies.learners import uniform
from tests.hand import SHARED, choice, decision, feedback, generator, window


@pytest.mark.parametrize("seed", range(20))
def test_uniform_gives_every_feasible_action_the_same(seed: int) -> None:
    on = generator(seed).random(30) < 0.4
    on[3] = True
    probs = uniform.make(SHARED).probs(uniform.Params(), (), decision(window(on)), None)
    assert np.all(probs[on] == 1 / on.sum())
    assert not probs[~on].any()


def test_uniform_learns_nothing_and_has_no_belief() -> None:
    policy = uniform.make(SHARED)
    assert policy.belief is None
    seen = (decision(window([True])), choice(0, 0), feedback(1.0))
    assert policy.update(uniform.Params(), policy.init(uniform.Params()), *seen) == ()
