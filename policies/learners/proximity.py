"""Softmax of closeness to the incumbent: a frozen logger that stays near what is approved.

With a floor of 0.5 it is half uniform, half softmax over one fixed window: the incumbent
keeps enough mass to be judged from the log, and every feasible action has some.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy, Spec

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """How sharply probability falls with the squared distance, in window radii."""

    floor: float = field(default=0.5, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})
    sharpness: float = field(default=6.0, metadata={"ge": 0.0, "le": 1e4, "unit": "per squared radius"})


def _nothing(_params: Params) -> tuple[()]:
    return ()


def _keep(_params: Params, state: Any, *_row: object) -> Any:
    return state


@cache
def make(spec: Spec) -> Policy:
    """The closeness vector of the window's geometry; it learns nothing and ignores the context."""
    steps = np.array(spec.offsets, np.float64)
    squared = ((steps / np.maximum(np.abs(steps).max(axis=0), 1.0)) ** 2).sum(axis=1)

    def probs(params: Params, _state: Any, decision: Decision, _belief: Belief | None) -> Array:
        xp = namespace(decision.features)
        gap = xp.astype(xp.asarray(squared), decision.features.dtype)
        weight = xp.where(decision.window.feasible, xp.exp(-params.sharpness * gap), xp.zeros_like(gap))
        return weight / xp.sum(weight)

    return Policy(init=_nothing, window=None, belief=None, probs=probs, update=_keep)
