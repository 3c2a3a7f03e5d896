"""Production's current parameters, always: the baseline every claim is measured against."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy, Spec

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """No exploration unless a floor asks for it."""

    floor: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})


def _probs(_params: Params, _state: Any, decision: Decision, _belief: Belief | None) -> Array:
    xp = namespace(decision.features)
    slots = xp.asarray(np.arange(decision.window.action_ids.shape[0], dtype=np.int32))
    return xp.astype(slots == decision.window.incumbent, decision.features.dtype)


def _keep(_params: Params, state: Any, *_row: object) -> Any:
    return state


def _nothing(_params: Params) -> tuple[()]:
    return ()


@cache
def make(spec: Spec) -> Policy:
    """The incumbent as a point mass; it learns nothing."""
    del spec
    return Policy(init=_nothing, window=None, belief=None, probs=_probs, update=_keep)
