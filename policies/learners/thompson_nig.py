"""Thompson sampling that estimates the reward's noise: Student-t posterior draws.

The vector is the share of fixed quasi-random draws that an action wins, as in `thompson`.
Source: Riquelme, Tucker & Snoek (2018), section 3, linear methods; Agrawal & Goyal (2013).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.learners.thompson import best_by_draws
from policies.nig import NigParams, nig_model

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(NigParams):
    """The linear belief with unknown noise that is sampled from."""


def _probs(_params: Params, _state: Any, decision: Decision, belief: Belief) -> Array:
    return best_by_draws(belief.draws, decision.window.feasible, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """Thompson sampling over the joint posterior of phi and the noise variance."""
    model = nig_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
