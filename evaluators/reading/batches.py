"""What every reader yields: a few hundred thousand rows of a log as plain arrays, nothing judged yet.

A reader says what stands in the file; `rejects.judged` says which rows can be used. Slots are
columns of the batch's tables: of the file's whole set of actions, or of each row's own window.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Names = NDArray[np.object_]

__all__ = ["Batch", "Facts", "Reader", "Windows", "batch_rows", "unreadable", "widened"]

CELLS = 2**20  # of the largest table of a batch: 8 MB in float64
MOST, FEWEST = 2**17, 2**10  # rows of a batch


class Windows(NamedTuple):
    """What our own log knows beyond a probability: each row's window and request."""

    action_ids: Ints  # (n, k) lattice ids
    centre: Ints  # (n,) the approved action
    task_type: Names  # (n,) names
    features: Floats  # (n, d) context vectors
    parameters: Floats  # (n, axes) of the logged action: temperature, cap, top_p, two penalties


class Batch(NamedTuple):
    """n rows of a log with k slots; NaN where a number is missing or no number."""

    row: Ints  # (n,) data rows of the file, from 1
    reward: Floats  # (n,)
    propensity: Floats  # (n,) of the logged action
    slot: Ints  # (n,) column of the logged action; -1 where it is none of them
    ids: Any = None  # Arrow array (n,), None without an id column
    behavior: Floats | None = None  # (n, k) the logger's whole distribution
    target: Floats | None = None  # (n, k) a target's whole distribution, as it stands in the file
    target_logged: Floats | None = None  # (n,) a target's probability of the logged action, as it stands in the file
    mask: Bools | None = None  # (n, k) which slots the row's own set of actions has; None: all
    actions: Ints | None = None  # (n, k) place of each slot's action among `Facts.labels`; None: the slot itself
    context: Floats | None = None  # (n, d) what a reward model may look at
    cluster: Ints | None = None  # (n,)
    group: Names | None = None  # (n,) names of parts that are also judged apart
    drop_prob: Floats | None = None  # (n,) chance that a row like this one was left out of the log
    is_readable: Bools | None = None  # (n,) None: all
    is_activated: Bools | None = None  # (n,) False: chosen but never shown; None: all shown
    windows: Windows | None = None


class Facts(NamedTuple):
    """What a first look over the whole file found, and every later look needs."""

    labels: tuple[str, ...] = ()  # of all actions of the file, in one order
    n_slots: int = 0  # k, of the widest row
    groups: tuple[str, ...] = ()  # names of the parts, sorted
    is_windowed: bool = False  # slots are those of a row's window, not the labels


class Reader(Protocol):
    """One format: a file as batches. With `facts` of an earlier pass slots mean the same in every batch."""

    def batches(self, facts: Facts | None = None) -> Iterator[Batch]:
        """Every row of the file, in order, those that cannot be read among them."""

    def facts(self) -> Facts:
        """What the passes so far have seen."""


def batch_rows(width: int) -> int:
    """Rows of a batch whose widest table has `width` columns.

    >>> batch_rows(10), batch_rows(256)
    (104857, 4096)
    """
    return int(np.clip(CELLS // max(width, 1), FEWEST, MOST))


def unreadable(row: Ints) -> Batch:
    """Rows (n,) of which nothing is known but their number."""
    lost = np.full(row.size, np.nan)
    none = np.zeros(row.size, np.bool_)
    return Batch(row, lost, lost, np.full(row.size, -1, np.int64), is_readable=none)


def widened(table: Floats, width: int) -> Floats:
    """A table with columns of zeros added up to `width`."""
    return table if table.shape[1] >= width else np.pad(table, ((0, 0), (0, width - table.shape[1])))
