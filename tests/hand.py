"""Specs, windows and decisions small enough to do by hand; NumPy only."""

from itertools import product
from typing import Any

import numpy as np

from policies.base import Choice, Decision, Feedback, Question, Spec, Window

SHARED = Spec(
    shape=(5, 4),
    positions=((0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 1 / 3, 2 / 3, 1.0)),
    offsets=tuple(product((-1, 0, 1), (-1, 0, 1))),
    n_tasks=2,
    d=3,
    knots=(4, 3),
    interactions=(0, 2),
    n_draws=16,
    reservoir=4,
)
DISJOINT = SHARED._replace(features="disjoint")
SPECS = (SHARED, DISJOINT)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def window(feasible: Any, *, ids: Any = None, incumbent: int = 0) -> Window:
    """Slots with ids 0, 1, ... unless told, and no reasons."""
    on = np.array(feasible, np.bool_)
    ids = np.arange(len(on)) if ids is None else ids
    return Window(np.array(ids, np.int32), on, np.zeros(len(on), np.int32), np.int32(incumbent))


def decision(held: Window, *, features: Any = (0.0, 0.0, 0.0), task: int = 0, span: float = 1.0) -> Decision:
    return Decision(np.array(features, np.float64), np.int32(task), np.int32(0), np.float64(span), np.ones(2), held)


def question(contexts: Any, task: Any = 0) -> Question:
    """(r, d) or (d,) contexts of a task type, prices as they were."""
    return Question(np.atleast_2d(np.asarray(contexts, np.float64)), np.int32(task), np.ones(2))


def choice(slot: int, action_id: int, *, mass: int = 1 << 20) -> Choice:
    return Choice(np.int32(slot), np.int32(action_id), np.int32(mass))


def feedback(reward: float, *, valid: bool = True) -> Feedback:
    return Feedback(np.float64(reward), np.bool_(valid))


def leaves(state: Any) -> list[bytes]:
    """Every array of a state, bit for bit, with its dtype and shape."""
    if isinstance(state, tuple):
        return [leaf for part in state for leaf in leaves(part)]
    array = np.asarray(state)
    return [f"{array.dtype} {array.shape}".encode() + array.tobytes()]
