"""Discounted Thompson sampling: posterior draws when old rows fade.

The vector is the share of fixed quasi-random draws that an action wins, as in `thompson`.
Source: Kim & Tewari (2020), D-LinTS, with the one matrix of `forgetting.discounted_model`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.forgetting import DiscountParams, discounted_model
from policies.learners.thompson import best_by_draws

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(DiscountParams):
    """The discounted belief that is sampled from."""


def _probs(_params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    return best_by_draws(belief.draws, decision.window.feasible, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """Thompson sampling over the discounted belief."""
    model = discounted_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
