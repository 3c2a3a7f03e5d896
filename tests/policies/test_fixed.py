"""The baseline is the incumbent, learns nothing and believes nothing."""

import numpy as np

from policies.learners import fixed
from tests.hand import SHARED, choice, decision, feedback, window


def test_fixed_is_a_point_mass_on_the_incumbent() -> None:
    policy = fixed.make(SHARED)
    for incumbent in range(3):
        here = decision(window([True] * 3, incumbent=incumbent))
        assert policy.probs(fixed.Params(), (), here, None).tolist() == np.eye(3)[incumbent].tolist()


def test_fixed_learns_nothing_and_has_no_belief() -> None:
    policy = fixed.make(SHARED)
    assert policy.belief is None
    seen = (decision(window([True])), choice(0, 0), feedback(1.0))
    assert policy.update(fixed.Params(), policy.init(fixed.Params()), *seen) == ()
