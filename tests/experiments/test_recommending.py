"""What one recommendation costs in NumPy, and the two thresholds."""

import pytest

from envs import presets
from experiments.recommending import Cost, cost_of, recommendation_claims


@pytest.mark.parametrize("name", ["fixed", "thompson", "ucb1"])
def test_a_recommendation_is_timed_in_a_window_of_225_slots(name):
    cost = cost_of(presets.load("policy", name), decisions=30)
    assert (cost.policy, cost.n, cost.k) == (name, 30, 225)
    assert 0 < cost.p50_ms <= cost.p99_ms < 1000


def test_the_slowest_learner_and_the_flagship_have_thresholds_of_their_own():
    costs = [Cost("a", 0.1, 0.2, 9, 225), Cost("b", 0.5, 1.1, 9, 225), Cost("best", 2.0, 4.9, 9, 225)]
    others, flagship = recommendation_claims(costs, flagship="best")
    assert (others.holds, flagship.holds) == (False, True)
    assert others.claim.endswith("the slowest of 2 learners")
    assert "(b)" in others.measured


def test_no_flagship_no_claim():
    assert len(recommendation_claims([Cost("a", 0.1, 0.2, 9, 225)], flagship="best")) == 1
