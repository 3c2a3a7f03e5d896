"""What a policy says of itself, by hand draws."""

import numpy as np
import pytest

from policies import approval, constraints
from policies.base import Belief, Decision
from policies.confidence import NOWHERE, Watched, watch
from policies.constrained import BoundedState
from tests.told import BELIEVER, SILENT, Told, Walk, line

RULE = approval.Params(rule="two_sample")
DRAWS = np.array(  # of the five caps; the window around 300 holds them all
    [[0.0, 0.0, 0.0, 0.0], [0.3, 0.1, 0.0, 0.2], [0.2, 0.2, 0.2, 0.2], [0.0, 0.4, 0.2, 0.0], [9.0, 9.0, 9.0, 9.0]]
)


def watched(epsilon: float, *, limits: constraints.Params | None = None, inner: object = None) -> Watched:
    """At 300 tokens; the window's draws are those of the table."""
    by_hand = BELIEVER._replace(
        belief=lambda params, state, question, ids: Belief(DRAWS[ids].mean(1), DRAWS[ids].std(1), DRAWS[ids])
    )
    limits = constraints.Params(max_tokens=constraints.Limits(highest="400")) if limits is None else limits
    walk = Walk(line(5), RULE, limits, start=2, inner=by_hand if inner is None else inner)  # type: ignore[arg-type]  # one of two
    params = walk.params._replace(inner=Told(np.array([0.0, 0.1, 0.2, 0.15, 9.0]), np.zeros(5)))
    return watch(walk.policy, params, walk.state, walk.here(), epsilon=np.float64(epsilon))


@pytest.mark.parametrize(("epsilon", "confidence"), [(0.0, 0.5), (0.1, 0.75), (0.2, 1.0)])
def test_confidence_is_the_share_of_draws_within_epsilon_of_the_best_in_reach(
    epsilon: float, confidence: float
) -> None:
    """Without 500 tokens, which the limits exclude, the approved 0.2 is short by 0.1, 0.2, 0 and 0."""
    assert watched(epsilon + 1e-9).confidence == confidence


def test_what_is_recommended_is_the_best_mean_that_is_legal() -> None:
    assert watched(0.0).recommended == 2
    assert watched(0.0, limits=constraints.Params()).recommended == 4


def test_a_policy_without_a_belief_recommends_nothing_and_is_sure_of_nothing() -> None:
    said = watched(0.1, inner=SILENT)
    assert said.recommended == NOWHERE
    assert np.isnan(said.confidence)


def test_before_any_context_was_seen_the_question_is_about_the_request() -> None:
    asked = []

    def keep(params: Told, state: object, question: object, ids: np.ndarray) -> Belief:
        asked.append(question.contexts)  # type: ignore[attr-defined]  # a Question
        return Belief(params.mean[ids], params.spread[ids], DRAWS[ids])

    walk = Walk(line(5), RULE, start=2, inner=BELIEVER._replace(belief=keep))
    params = walk.params._replace(inner=Told(np.zeros(5), np.zeros(5)))
    here: Decision = walk.here()._replace(features=np.array([7.0]))
    state: BoundedState = walk.state
    watch(walk.policy, params, state, here, epsilon=np.float64(0))
    seen = state._replace(contexts=state.contexts + 3.0, seen=state.seen + 2)
    watch(walk.policy, params, seen, here, epsilon=np.float64(0))
    assert [one.tolist() for one in asked] == [[[7.0], [7.0]], [[3.0], [3.0]]]
