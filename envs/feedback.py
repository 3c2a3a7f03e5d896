"""When a reward arrives: at once, late, twice, out of order, or never.

The fate of a round's reward is a function of three uniforms, so every engine tells the same
story. A ring holds what is pending: a row per round, room for `max_delay` rounds; at most
`max_arrivals` rewards are delivered in one round, the earliest due first. What is still
pending when a run ends is censored, and counted.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace, set_row

__all__ = [
    "NEVER",
    "Fate",
    "Leaves",
    "Params",
    "Ring",
    "Spec",
    "empty",
    "fate",
    "kept",
    "leaves",
    "spec",
    "store",
    "take",
]

NEVER = 2**31 - 1


@dataclass(frozen=True)
class Params:
    """How feedback travels. Delays are in rounds and geometric, cut at `max_delay`; 0: always at once.

    Attributes:
        mean_delay: of the geometric distribution before it is cut.
        missing: share of rewards that never arrive.
        duplicated: share of rewards that arrive twice.
        deduplicate: copies are told apart at the door, so nothing changes for the learner.
        max_delay: rounds that the ring remembers.
        max_arrivals: rewards delivered in one round at most; others wait.
    """

    mean_delay: float = field(default=0.0, metadata={"ge": 0.0, "le": 1000.0, "unit": "rounds"})
    missing: float = field(default=0.0, metadata={"ge": 0.0, "lt": 1.0, "unit": "share of rewards"})
    duplicated: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "share of rewards"})
    deduplicate: bool = True
    max_delay: int = field(default=0, metadata={"ge": 0, "le": 1000, "static": True, "unit": "rounds"})
    max_arrivals: int = field(default=2, metadata={"ge": 1, "le": 16, "static": True, "unit": "per round"})

    def __post_init__(self) -> None:
        """Refuse delays and copies that have nowhere to wait."""
        if not self.max_delay and (self.mean_delay or self.duplicated):
            got = f"mean_delay = {self.mean_delay:g}, duplicated = {self.duplicated:g}"
            raise ValueError(f"max_delay = 0 with {got}; need max_delay >= 1, rewards that come later wait there")


class Spec(NamedTuple):
    """Static facts: rows of the ring (1: immediate), deliveries per round."""

    rows: int
    arrivals: int


class Leaves(NamedTuple):
    """`Params` as numbers, () each."""

    mean_delay: Array
    missing: Array
    duplicated: Array
    deduplicate: Array


class Fate(NamedTuple):
    """(2,) delays in rounds of a reward and of its copy; NEVER: it does not come."""

    delay: Array


class Ring(NamedTuple):
    """What is pending: (rows, 2) round at which a reward and its copy are due, (rows,) the round it is of."""

    due: Array
    round: Array


def spec(params: Params) -> Spec:
    """The static facts of a config."""
    return Spec(params.max_delay + 1, params.max_arrivals if params.max_delay else 1)


def leaves(params: Params) -> Leaves:
    """The numbers of a config."""
    numbers = (params.mean_delay, params.missing, params.duplicated, float(params.deduplicate))
    return Leaves(*(np.float64(n) for n in numbers))


def fate(form: Spec, numbers: Leaves, uniform: Array) -> Fate:
    """What happens to a reward.

    Args:
        form: static facts.
        numbers: as `leaves`.
        uniform: (3,) in [0, 1): missing or copied, delay, delay of the copy.
    """
    xp = namespace(uniform)
    most = form.rows - 1
    decay = numbers.mean_delay / (1.0 + numbers.mean_delay)
    log_decay = xp.log(xp.where(decay > 0.0, decay, 0.5))
    drawn = xp.floor(xp.log1p(-uniform[1:3]) / log_decay)
    waits = xp.astype(xp.where(decay > 0.0, xp.minimum(drawn, float(most)), 0.0), xp.int32)
    copy = xp.minimum(waits[0] + 1 + waits[1], np.int32(most))
    is_missing = uniform[0] < numbers.missing
    is_copied = uniform[0] >= 1.0 - numbers.duplicated * (1.0 - numbers.missing)
    never = xp.zeros_like(waits[0]) + np.int32(NEVER)
    first = xp.where(is_missing, never, waits[0])
    return Fate(xp.stack([first, xp.where(is_copied & ~is_missing, copy, never)]))


def kept(numbers: Leaves, what: Fate) -> Fate:
    """What the ring is to hold: copies that are told apart take no other reward's place."""
    xp = namespace(what.delay)
    is_dropped = xp.asarray(np.array([False, True])) & (numbers.deduplicate > 0.5)
    return Fate(xp.where(is_dropped, np.int32(NEVER), what.delay))


def empty(form: Spec) -> Ring:
    """Nothing pending."""
    return Ring(np.full((form.rows, 2), NEVER, np.int32), np.full(form.rows, -1, np.int32))


def store(form: Spec, ring: Ring, now: Array, what: Fate) -> Ring:
    """The ring with the reward of round `now`; whatever stood in its row is gone."""
    xp, row = namespace(ring.due), now % np.int32(form.rows)
    comes = what.delay < NEVER
    due = xp.where(comes, xp.where(comes, what.delay, np.int32(0)) + now, np.int32(NEVER))
    return Ring(set_row(ring.due, row, due), set_row(ring.round, row, now))


class Taken(NamedTuple):
    """One delivery: () row of the ring, the round it is of, whether it is a copy; round -1: nothing is due."""

    row: Array
    round: Array
    is_copy: Array


def take(form: Spec, ring: Ring, now: Array) -> tuple[Ring, Taken]:
    """The earliest reward due by `now`, ties to the earlier round, and the ring without it."""
    xp = namespace(ring.due)
    age = now - ring.round  # 0 .. rows - 1 for what is pending
    overdue = now - ring.due
    is_due = ring.due <= now
    width = np.int32(2 * form.rows)
    order = xp.where(is_due, overdue * width + 2 * age[:, None] + np.array([1, 0], np.int32), np.int32(-1))
    best = xp.argmax(xp.reshape(order, (-1,)))
    row, column = xp.astype(best // 2, xp.int32), xp.astype(best % 2, xp.int32)
    found = xp.any(is_due)
    at = xp.where(found, row, np.int32(-1))
    rows = xp.asarray(np.arange(form.rows, dtype=np.int32))[:, None]
    columns = xp.asarray(np.arange(2, dtype=np.int32))[None, :]
    here = (rows == at) & (columns == column)
    left = Ring(xp.where(here, np.int32(NEVER), ring.due), ring.round)
    return left, Taken(row, xp.where(found, ring.round[row], np.int32(-1)), column == 1)
