"""The one place where an action is drawn: window, belief, vector, masses, slot."""

from typing import Any, NamedTuple

from envs.arrays import Array
from envs.traffic import Context
from policies.base import Belief, Choice, Decision, Policy
from policies.masses import draw_slot, integer_masses

__all__ = ["Decided", "decide", "weigh"]


class Decided(NamedTuple):
    """One decision with all that the log keeps of it; masses (k,) sum to 2^20."""

    decision: Decision
    choice: Choice
    masses: Array


def weigh(policy: Policy, params: Any, state: Any, decision: Decision) -> Array:
    """(k,) integer masses of a decision."""
    held: Belief | None = None
    if policy.belief is not None:
        ids = decision.window.action_ids
        held = policy.belief(params, state, decision.features[None, :], decision.task, ids)
    return integer_masses(policy.probs(params, state, decision, held), decision.window.feasible)


def decide(policy: Policy, params: Any, state: Any, context: Context, known: tuple[Array, Array, Array]) -> Decided:
    """Decide one request.

    Args:
        policy: bounded, so that it has a window.
        params: its numbers.
        state: what it has learned.
        context: the request.
        known: evaluation t of this task type, declared reward span, uniform in [0, 2^20); () each.

    Returns:
        The decision, what was drawn, and the masses it was drawn from.

    Raises:
        ValueError: a policy without a window.
    """
    if policy.window is None:
        raise ValueError("this policy has no window: wrap it with policies.constrained.constrained")
    t, span, uniform = known
    held = policy.window(params, state, context.task)
    decision = Decision(context.features, context.task, t, span, held)
    masses = weigh(policy, params, state, decision)
    slot = draw_slot(masses, uniform)
    return Decided(decision, Choice(slot, held.action_ids[slot], masses[slot]), masses)
