"""The softmax of any learner's belief: a smooth policy whose support on a log can be chosen.

The learner keeps its state, belief and update; only its vector is replaced. The inverse
temperature `sharpness` trades value against support, as in `policies.learners.softmax`.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from envs.arrays import Array, namespace
from policies.base import Belief, Choice, Decision, Feedback, Policy, Question

__all__ = ["SHARPNESS", "Params", "Softened", "bare", "boltzmann", "softened"]

SHARPNESS = {"ge": 0.0, "le": 1e6, "unit": "1 / reward"}


@dataclass(frozen=True)
class Params:
    """Whose belief, the `Params` of a learner, and how sharp a choice."""

    learner: Any
    sharpness: float = field(default=10.0, metadata=SHARPNESS)

    @property
    def floor(self) -> float:
        """Share of uniform exploration, the learner's."""
        return float(self.learner.floor)


class Softened(NamedTuple):
    """The learner's numbers, () sharpness, () floor."""

    inner: Any
    sharpness: Array
    floor: Array


def bare(settings: Any) -> Any:
    """The learner's own `Params`, softened or not."""
    return settings.learner if isinstance(settings, Params) else settings


def boltzmann(mean: Array, feasible: Array, *, sharpness: Array) -> Array:
    """(k,) softmax of sharpness times the mean over what is feasible, 0 elsewhere.

    Args:
        mean: (k,) rewards.
        feasible: (k,) boolean, at least one True.
        sharpness: () 1 / reward, >= 0.
    """
    xp = namespace(mean)
    best = xp.max(xp.where(feasible, mean, xp.min(mean) - 1.0))
    gap = xp.where(feasible, mean - best, xp.zeros_like(mean))  # an infeasible better one would overflow
    weight = xp.where(feasible, xp.exp(sharpness * gap), xp.zeros_like(gap))
    return weight / xp.sum(weight)


@cache
def softened(inner: Policy) -> Policy:
    """`inner`, which must have a belief, with the softmax of its belief's mean for a vector.

    Raises:
        ValueError: a learner without a belief.
    """
    if inner.belief is None:
        raise ValueError("this learner has no belief to take the softmax of; judge its own vector")
    believe = inner.belief

    def init(params: Softened) -> Any:
        return inner.init(params.inner)

    def belief(params: Softened, state: Any, question: Question, action_ids: Array) -> Belief:
        return believe(params.inner, state, question, action_ids)

    def probs(params: Softened, _state: Any, decision: Decision, held: Belief) -> Array:
        return boltzmann(held.mean, decision.window.feasible, sharpness=params.sharpness)

    def update(params: Softened, state: Any, decision: Decision, choice: Choice, feedback: Feedback) -> Any:
        return inner.update(params.inner, state, decision, choice, feedback)

    def outlook(params: Softened, state: Any, question: Question) -> Array:
        assert inner.outlook is not None
        return inner.outlook(params.inner, state, question)

    return Policy(init, None, belief, probs, update, None if inner.outlook is None else outlook)
