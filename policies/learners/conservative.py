"""Conservative LinUCB: explore only what the baseline's reward has paid for.

The baseline is the incumbent of each decision. All that was played less (1 - allowance) times what
the incumbent would have earned is linear in the coefficients, so the ledger of a task type is one
vector and a count, and its lower bound at any time is one product with the present posterior. The
optimistic action is played where the ledger stays above zero with it, else the incumbent. Rewards
count from `worst`, since a share means nothing of rewards that may be negative. The floor, mixed in
outside, is not asked for leave: what it costs is booked, and earned back before the next venture.
Source: Kazerouni, Ghavamzadeh, Abbasi-Yadkori & Van Roy (2017), algorithms 1 and 2 (a baseline that
must be learned); Wu, Shariff, Lattimore & Szepesvari (2016).
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.base import Belief, Choice, Decision, Feedback, Policy, Question, Spec
from policies.features import n_features, phi
from policies.linear import LinearParams, SharedState, linear_model
from policies.masses import pick

__all__ = ["ConservativeState", "Params", "make"]


@dataclass(frozen=True)
class Params(LinearParams):
    """Width of both bounds, what may be lost on the baseline, and the linear belief."""

    width: float = field(default=1.0, metadata={"ge": 0.0, "le": 100.0, "unit": "posterior standard deviations"})
    allowance: float = field(default=0.1, metadata={"ge": 0.0, "le": 1.0, "unit": "share of the baseline's reward"})
    worst: float = field(default=0.0, metadata={"ge": -100.0, "le": 100.0, "unit": "reward that counts as nothing"})
    features: str = field(default="shared", metadata={"choices": ("shared",), "static": True})


class ConservativeState(NamedTuple):
    """theta (p,) and root (p, p) as `SharedState`; per task type the ledger (tasks, p) and its (tasks,) evaluations."""

    theta: Array
    root: Array
    ledger: Array
    booked: Array


def _entry(spec: Spec, params: Params, decision: Decision, action_id: Array) -> Array:
    """(p,) what playing an action adds to the ledger: its phi less the incumbent's, the allowance kept."""
    xp, window = namespace(decision.features), decision.window
    home = xp.sum(xp.where(_is_incumbent(decision), window.action_ids, 0))
    ids = xp.stack([xp.astype(action_id, home.dtype), home])
    both = phi(spec, decision.features, decision.task, ids)
    return both[0, :] - (1.0 - params.allowance) * both[1, :]


def _is_incumbent(decision: Decision) -> Array:
    xp, window = namespace(decision.features), decision.window
    return xp.asarray(np.arange(window.action_ids.shape[0], dtype=np.int32)) == window.incumbent


def _lowest(params: Params, state: ConservativeState, ledger: Array, booked: Array) -> Array:
    """() lower bound of a ledger (p,) after `booked` () evaluations, reward units."""
    xp = namespace(ledger)
    spread = ledger @ state.root
    own = params.allowance * (params.prior_mean - params.worst) * xp.astype(booked, ledger.dtype)
    return own + xp.sum(ledger * state.theta) - params.width * xp.sqrt(xp.sum(spread * spread))


@cache
def make(spec: Spec) -> Policy:
    """LinUCB over the shared belief, behind the ledger."""
    model = linear_model(spec)

    def init(params: Params) -> ConservativeState:
        ledger = np.zeros((spec.n_tasks, n_features(spec))) + 0.0 * params.prior_sd
        shared: Any = model.init(params)
        return ConservativeState(shared.theta, shared.root, ledger, np.zeros(spec.n_tasks, np.int32))

    def belief(params: Params, state: ConservativeState, question: Question, action_ids: Array) -> Belief:
        return model.belief(params, SharedState(state.theta, state.root), question, action_ids)

    def probs(params: Params, state: ConservativeState, decision: Decision, held: Belief) -> Array:
        xp, window = namespace(held.mean), decision.window
        bound = held.mean + params.width * held.sd
        hot = pick(bound, window.feasible, incumbent=window.incumbent, span=decision.span)
        venture = _entry(spec, params, decision, xp.sum(xp.where(hot > 0.5, window.action_ids, 0)))
        row = xp.reshape(xp.astype(decision.task, xp.int64), (1,))
        ledger, booked = xp.take(state.ledger, row, axis=0)[0, :], xp.take(state.booked, row, axis=0)[0]
        paid = _lowest(params, state, ledger + venture, booked + np.int32(1)) >= 0.0
        home = _is_incumbent(decision) & window.feasible
        return xp.where(paid | ~xp.any(home), hot, xp.astype(home, hot.dtype))

    def update(
        params: Params, state: ConservativeState, decision: Decision, choice: Choice, feedback: Feedback
    ) -> ConservativeState:
        before = SharedState(state.theta, state.root)
        shared: Any = model.update(params, before, decision, choice, feedback)
        task, entry = decision.task, _entry(spec, params, decision, choice.action_id)
        ledger = set_row(state.ledger, task, state.ledger[task] + entry)
        booked = set_row(state.booked, task, state.booked[task] + np.int32(1))
        return choose(feedback.valid, ConservativeState(shared.theta, shared.root, ledger, booked), state)

    def outlook(params: Params, state: ConservativeState, question: Question) -> Array:
        assert model.outlook is not None
        return model.outlook(params, SharedState(state.theta, state.root), question)

    return Policy(init, None, belief, probs, update, outlook)
