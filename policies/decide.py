"""The one place where an action is drawn: window, belief, vector, masses, slot."""

from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array
from envs.traffic import Context
from policies.base import Belief, Choice, Decision, Policy, Question
from policies.masses import draw_slot, integer_masses

__all__ = ["Decided", "Known", "asked_in", "decide", "weigh"]


class Known(NamedTuple):
    """What a decision knows beside its request.

    Attributes:
        t: () evaluation of this task type, from 0.
        span: () width of the declared reward range.
        uniform: () integer in [0, 2^20).
        prices: (2,) as in `Decision`.
    """

    t: Array
    span: Array
    uniform: Array
    prices: Array = np.ones(2)


class Decided(NamedTuple):
    """One decision with all that the log keeps of it; masses (k,) sum to 2^20."""

    decision: Decision
    choice: Choice
    masses: Array


def asked_in(decision: Decision) -> Question:
    """The question of one decision: its own context, its prices."""
    return Question(decision.features[None, :], decision.task, decision.prices)


def weigh(policy: Policy, params: Any, state: Any, decision: Decision) -> Array:
    """(k,) integer masses of a decision."""
    held: Belief | None = None
    if policy.belief is not None:
        held = policy.belief(params, state, asked_in(decision), decision.window.action_ids)
    return integer_masses(policy.probs(params, state, decision, held), decision.window.feasible)


def decide(policy: Policy, params: Any, state: Any, context: Context, known: Known) -> Decided:
    """Decide one request.

    Args:
        policy: bounded, so that it has a window.
        params: its numbers.
        state: what it has learned.
        context: the request.
        known: time, units, the uniform it is drawn with, prices.

    Returns:
        The decision, what was drawn, and the masses it was drawn from.

    Raises:
        ValueError: a policy without a window.
    """
    if policy.window is None:
        raise ValueError("this policy has no window: wrap it with policies.constrained.constrained")
    held = policy.window(params, state, context.task)
    decision = Decision(context.features, context.task, known.t, known.span, known.prices, held)
    masses = weigh(policy, params, state, decision)
    slot = draw_slot(masses, known.uniform)
    return Decided(decision, Choice(slot, held.action_ids[slot], masses[slot]), masses)
