"""UCB1: each action's mean reward plus a width that shrinks with its plays; no context, no prior.

Rewards are told in the unit of the declared range, as the paper's [0, 1]. Every action of the
window is played once before any is played twice, so it suits windows smaller than the horizon.
Source: Auer, Cesa-Bianchi & Fischer (2002), figure 1; their width is sqrt(2 ln n / n_j).
"""

from dataclasses import dataclass, field
from functools import cache

from envs.arrays import Array, namespace
from policies.base import Belief, Choice, Decision, Feedback, Policy, Spec
from policies.masses import pick
from policies.slots import Tally, added, sums, tally

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """How wide the bound is."""

    floor: float = field(default=0.05, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    width: float = field(default=2.0, metadata={"ge": 0.0, "le": 100.0, "unit": "w in sqrt(w ln n / n_j)"})


def _index(params: Params, seen: Array, played: Array, *, span: Array) -> Array:
    """(k,) upper bounds of plays and summed rewards (k, 2) after `played` () plays; above all others where unplayed."""
    xp = namespace(seen)
    plays, one = seen[:, 0], xp.ones_like(seen[:, 0])
    n = xp.where(plays > 0.0, plays, one)
    bound = seen[:, 1] / n + span * xp.sqrt(params.width * xp.log(xp.where(played > 1.0, played, one)) / n)
    return xp.where(plays > 0.0, bound, xp.max(bound) + span)


@cache
def make(spec: Spec) -> Policy:
    """The highest index of the window, by what this task type's plays have shown."""

    def init(params: Params) -> Tally:
        return tally(spec, 2, like=params.floor)

    def probs(params: Params, state: Tally, decision: Decision, _belief: Belief | None) -> Array:
        xp, window = namespace(state.sums), decision.window
        seen = sums(state, decision.task, window.action_ids)
        row = xp.reshape(xp.astype(decision.task, xp.int64), (1,))
        played = xp.sum(xp.take(state.sums[:, :, 0], row, axis=0))
        bound = _index(params, seen, played, span=decision.span)
        return pick(bound, window.feasible, incumbent=window.incumbent, span=decision.span)

    def update(_params: Params, state: Tally, decision: Decision, choice: Choice, feedback: Feedback) -> Tally:
        xp = namespace(state.sums)
        reward = xp.where(feedback.valid, feedback.reward, 0.0)
        play = xp.stack([xp.ones_like(reward), reward])
        return added(state, (decision.task, choice.action_id), play, valid=feedback.valid)

    return Policy(init=init, window=None, belief=None, probs=probs, update=update)
