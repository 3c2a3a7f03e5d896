"""EXP3: exponential weights on importance-weighted rewards; no model, no stationarity assumed.

A play adds rate / k * (reward - neutral) / (span * propensity) to the log-weight of its action,
with the exact propensity it was drawn with, so each action's sum is unbiased whatever the policy
was. Weights live per action id: an action that a moved window shows for the first time counts as
one that pays `neutral`. A constant taken from all rewards alike leaves the method's regret as it is.
Source: Auer, Cesa-Bianchi, Freund & Schapire (2002), figure 1: `floor` and `rate` are both their
gamma there, their rewards lie in [0, 1] and their neutral is 0.
"""

from dataclasses import dataclass, field
from functools import cache

from envs.arrays import Array, namespace
from policies.base import Belief, Choice, Decision, Feedback, Policy, Spec
from policies.masses import TOTAL
from policies.slots import Tally, added, sums, tally

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """Learning rate, and the reward that neither gains nor loses weight."""

    floor: float = field(default=0.2, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    rate: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "share, gamma of the exponent"})
    neutral: float = field(default=0.2, metadata={"ge": -100.0, "le": 100.0, "unit": "reward"})


def _step(params: Params, decision: Decision, choice: Choice, feedback: Feedback) -> Array:
    """(1,) what a play adds to the log-weight of its action."""
    xp = namespace(feedback.reward)
    reward = xp.where(feedback.valid, feedback.reward, 0.0) - params.neutral
    propensity = xp.astype(choice.mass, reward.dtype) / TOTAL
    k = xp.sum(xp.astype(decision.window.feasible, reward.dtype))
    return xp.reshape(params.rate / k * (reward / (decision.span * propensity)), (1,))


@cache
def make(spec: Spec) -> Policy:
    """Probabilities in proportion to the weights of the window's feasible actions."""

    def init(params: Params) -> Tally:
        return tally(spec, 1, like=params.floor)

    def probs(_params: Params, state: Tally, decision: Decision, _belief: Belief | None) -> Array:
        feasible = decision.window.feasible
        logs = sums(state, decision.task, decision.window.action_ids)[:, 0]
        xp = namespace(logs)
        best = xp.max(xp.where(feasible, logs, xp.min(logs)))
        gap = xp.where(feasible, logs - best, xp.zeros_like(logs))
        weight = xp.where(feasible, xp.exp(gap), xp.zeros_like(gap))
        return weight / xp.sum(weight)

    def update(params: Params, state: Tally, decision: Decision, choice: Choice, feedback: Feedback) -> Tally:
        step = _step(params, decision, choice, feedback)
        return added(state, (decision.task, choice.action_id), step, valid=feedback.valid)

    return Policy(init=init, window=None, belief=None, probs=probs, update=update)
