"""Every feasible action with equal probability: the honest logger."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.arrays import Array, namespace
from policies.base import Belief, Decision, Policy, Spec

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params:
    """Uniform already: the floor changes nothing, and is there because every policy has one."""

    floor: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "share of uniform exploration"})


def _probs(_params: Params, _state: Any, decision: Decision, _belief: Belief | None) -> Array:
    xp = namespace(decision.features)
    on = xp.astype(decision.window.feasible, decision.features.dtype)
    return on / xp.sum(on)


def _keep(_params: Params, state: Any, *_row: object) -> Any:
    return state


def _nothing(_params: Params) -> tuple[()]:
    return ()


@cache
def make(spec: Spec) -> Policy:
    """The uniform vector over the window's feasible slots; it learns nothing."""
    del spec
    return Policy(init=_nothing, window=None, belief=None, probs=_probs, update=_keep)
