"""What a policy says while it learns: the point it would recommend, and how sure it is of what is deployed.

The live statement: P(best expected reward in reach - that of the approved action <= epsilon | data),
from the joint posterior draws of the window. In a live run nobody knows the oracle; this is the
policy's own estimate, and its calibration against the truth is measured.
"""

from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace
from policies.base import Decision, Policy, Question
from policies.constrained import BoundedParams, BoundedState
from policies.passage import best_ahead

__all__ = ["NOWHERE", "Watched", "watch"]

NOWHERE = -1  # recommended id of a policy without an outlook


class Watched(NamedTuple):
    """() id of the highest posterior mean over the legal lattice (-1: no outlook); () confidence (NaN: no draws)."""

    recommended: Array
    confidence: Array


def watch(policy: Policy, params: BoundedParams, state: BoundedState, decision: Decision, *, epsilon: Array) -> Watched:
    """What a bounded policy says before a decision.

    Args:
        policy: as `policies.constrained.constrained` made it.
        params: its numbers.
        state: what it has learned.
        decision: the request; contexts seen before stand for those to come.
        epsilon: () loss that is tolerated, as a share of the reward range.
    """
    xp = namespace(decision.features)
    own = state.contexts[decision.task]
    contexts = xp.where(state.seen[decision.task] > 0, own, decision.features[None, :] + xp.zeros_like(own))
    question = Question(contexts, decision.task, decision.prices)
    goal, sure = xp.asarray(np.int32(NOWHERE)), decision.span * np.nan
    if policy.outlook is not None:
        outlook = policy.outlook(params, state, question)
        goal, _ = best_ahead(outlook, params.legal[decision.task], state.approved[decision.task])
    if policy.belief is not None:
        window = decision.window
        draws = policy.belief(params, state, question, window.action_ids).draws
        held = xp.where(window.feasible[:, None], draws, xp.min(draws) - 1.0)
        short = xp.max(held, axis=0) - draws[window.incumbent] <= epsilon * decision.span
        sure = xp.mean(xp.astype(short, draws.dtype))
    return Watched(goal, sure)
