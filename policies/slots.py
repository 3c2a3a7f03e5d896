"""What is known of single actions: tables of few slots, keyed by action, the oldest giving way.

A lattice has thousands of actions and a learner plays a few hundred of them, so a table holds
256 at a time. `find` and `place` serve any table; `Tally` is one of running sums for learners
that ignore the context, with 256 slots for every task type.
"""

from typing import NamedTuple

import numpy as np

from envs.arrays import Array, choose, namespace, set_row
from policies.base import MAX_WINDOW, Spec

__all__ = ["EMPTY", "Tally", "added", "find", "key_of", "place", "sums", "tally"]

EMPTY = -1


def key_of(spec: Spec, task: Array, action_ids: Array) -> Array:
    """One key for a task type and each action: distinct for every pair, the shape of `action_ids`.

    >>> spec = Spec(shape=(5, 4), positions=(), offsets=(), n_tasks=2, d=3)
    >>> key_of(spec, np.int32(1), np.array([0, 19])).tolist()
    [20, 39]
    """
    size = 1
    for n in spec.shape:
        size *= n
    return task * size + action_ids


def find(held: Array, keys: Array) -> tuple[Array, Array]:
    """Where keys are held: (m,) whether at all, and (m,) their slots, 0 where not.

    Args:
        held: (256,) keys of a table, each once, -1 where empty.
        keys: (m,) keys to look for, none of them -1.
    """
    xp = namespace(held)
    match = keys[:, None] == held[None, :]
    slots = xp.asarray(np.arange(MAX_WINDOW, dtype=np.int64))
    return xp.any(match, axis=-1), xp.sum(xp.where(match, slots, 0), axis=-1)


def place(held: Array, stamp: Array, key: Array) -> tuple[Array, Array]:
    """The () slot of a key and () whether it is new; a new one takes an empty slot, else the oldest.

    Args:
        held: (256,) keys of a table, -1 where empty.
        stamp: (256,) when each slot was last written.
        key: () the key.
    """
    xp = namespace(held)
    here = held == key
    age = xp.where(held == EMPTY, -1, stamp)
    return xp.where(xp.any(here), xp.argmax(here), xp.argmin(age)), ~xp.any(here)


class Tally(NamedTuple):
    """Running sums of actions, 256 per task type.

    Attributes:
        key: (tasks, 256) action id, -1 where empty.
        sums: (tasks, 256, c) what has been added up.
        stamp: (tasks, 256) addition at which a slot was last written.
        clock: (tasks,) additions so far.
    """

    key: Array
    sums: Array
    stamp: Array
    clock: Array


def tally(spec: Spec, columns: int, *, like: Array) -> Tally:
    """An empty one of `columns` sums per action, in the library and precision of the number `like`."""
    empty = np.full((spec.n_tasks, MAX_WINDOW), EMPTY, np.int32)
    zeros = np.zeros((spec.n_tasks, MAX_WINDOW, columns))
    return Tally(empty, zeros + 0.0 * like, np.zeros_like(empty), np.zeros(spec.n_tasks, np.int32))


def sums(state: Tally, task: Array, action_ids: Array) -> Array:
    """(m, c) sums of actions (m,) for a task type, 0 where nothing is held."""
    xp = namespace(state.sums)
    row = xp.reshape(xp.astype(xp.asarray(task), xp.int64), (1,))
    known, slot = find(xp.take(state.key, row, axis=0)[0, ...], action_ids)
    held = xp.take(xp.take(state.sums, row, axis=0)[0, ...], slot, axis=0)
    return xp.where(known[:, None], held, xp.zeros_like(held))


def added(state: Tally, where: tuple[Array, Array], amount: Array, *, valid: Array) -> Tally:
    """The state with `amount` (c,) added to one action's sums; bit-equal where `valid` does not hold.

    Args:
        state: left as it is.
        where: () task type and () action id.
        amount: (c,), finite where `valid` holds.
        valid: () boolean.
    """
    xp, (task, action) = namespace(state.sums), where
    own = Tally(*(leaf[task] for leaf in state))
    slot, is_new = place(own.key, own.stamp, action)
    clock = own.clock + np.int32(1)
    before = xp.where(is_new, xp.zeros_like(amount), own.sums[slot])
    row = Tally(action, before + amount, clock, clock)
    row = choose(valid, row, Tally(own.key[slot], own.sums[slot], own.stamp[slot], own.clock))
    grown = [set_row(leaf, slot, cell) for leaf, cell in zip(own[:3], row[:3], strict=True)]
    return Tally(*(set_row(leaf, task, new) for leaf, new in zip(state, (*grown, row.clock), strict=True)))
