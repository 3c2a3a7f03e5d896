"""LinUCB: posterior mean plus alpha posterior standard deviations."""

import numpy as np
import pytest

from policies.base import Belief
from policies.decide import asked_in
from policies.learners import linucb
from tests.hand import DISJOINT, SHARED, choice, decision, feedback, window

HELD = window([True, True, True, False])


@pytest.mark.parametrize(("alpha", "chosen"), [(0.0, 1), (0.5, 1), (2.0, 2), (0.999, 1), (1.001, 2)])
def test_the_width_is_alpha_standard_deviations_by_hand(alpha: float, chosen: int) -> None:
    """0.6 + 0.1 alpha against 0.5 + 0.2 alpha: equal at alpha = 1."""
    belief = Belief(np.array([0.2, 0.6, 0.5, 0.9]), np.array([0.1, 0.1, 0.2, 9.0]), np.zeros((4, 2)))
    probs = linucb.make(SHARED).probs(linucb.Params(alpha=alpha), None, decision(HELD), belief)
    assert probs.tolist() == np.eye(4)[chosen].tolist()


@pytest.mark.parametrize(("alpha", "played_again"), [(0.5, True), (3.0, False)])
def test_an_untouched_arm_has_a_bonus_of_alpha_prior_sd_times_the_length_of_x(alpha: float, played_again: bool) -> None:
    """Worked for x = (1, 2, 2, 0), |x| = 3: prior variance 9 * 0.04 = 0.36, noise variance 0.04.

    One reward of 1 gives mean 0.36 / 0.40 = 0.9 and sd sqrt(0.36 * 0.04 / 0.40) = 0.19; an untouched
    arm has 0 and 0.6. At alpha 0.5: 0.99 against 0.3; at alpha 3: 1.47 against 1.8.
    """
    params = linucb.Params(alpha=alpha, prior_mean=0.0, prior_sd=0.2, noise_sd=0.2, features="disjoint")
    policy, here = linucb.make(DISJOINT), decision(HELD, features=[2, 2, 0])
    state = policy.update(params, policy.init(params), here, choice(1, 1), feedback(1.0))
    assert policy.belief is not None
    belief = policy.belief(params, state, asked_in(here), HELD.action_ids)
    assert belief.mean == pytest.approx([0, 0.9, 0, 0])
    assert belief.sd == pytest.approx([0.6, np.sqrt(0.036), 0.6, 0.6])
    assert policy.probs(params, state, here, belief)[1] == played_again
