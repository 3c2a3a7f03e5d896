"""Thompson sampling from a Gaussian process over the lattice.

The vector is the share of fixed quasi-random draws that an action wins, as in `thompson`.
Source: Chowdhury & Gopalan (2017), algorithm 2; the process is that of `policies.gp`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from envs.arrays import Array
from policies.base import Belief, Decision, Policy, Spec
from policies.gp import GpNumbers, GpParams, gp_model, numbers
from policies.learners.thompson import best_by_draws

__all__ = ["Params", "make", "ready"]


@dataclass(frozen=True)
class Params(GpParams):
    """The process that is sampled from."""


def ready(params: Params, spec: Spec) -> GpNumbers:
    """The parameters on a lattice."""
    return numbers(params, spec)


def _probs(_own: GpNumbers, _state: Any, decision: Decision, belief: Belief) -> Array:
    return best_by_draws(belief.draws, decision.window.feasible, span=decision.span)


@cache
def make(spec: Spec) -> Policy:
    """Thompson sampling over the processes of a lattice."""
    model = gp_model(spec)
    return Policy(model.init, None, model.belief, _probs, model.update, model.outlook)
