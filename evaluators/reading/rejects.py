"""Rows that cannot be used: counted by reason, listed to a file, and too many of them refused.

A row has one reason, the first that applies in the order of `REASONS`. Rows that were never shown to
anybody, and rows thinned out because the log had dropped their like, are set aside: counted and
listed too, but they say nothing against the file and do not count towards the refusal.
"""

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from evaluators.reading.batches import Batch
from evaluators.rows import RewardRange

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

__all__ = ["LISTED", "REASONS", "SET_ASIDE", "Listing", "Verdicts", "counted", "judged", "refuse_many", "rejected"]

REASONS: Mapping[str, str] = {
    "used": "nothing is wrong",
    "unreadable": "the line or record cannot be read",
    "not_activated": "the choice was never shown, so its reward belongs to something else",
    "no_reward": "the reward is missing, no number, or not finite",
    "reward_outside": "the reward lies outside the declared range",
    "no_propensity": "the logger's probability is missing or no number",
    "propensity_outside": "the logger's probability lies outside (0, 1]",
    "action_outside": "the logged action is none of the actions",
    "behavior_unfit": "the logger's distribution is none, or disagrees with the logged probability",
    "target_unfit": "the target's mass is no probability",
    "context_unfit": "a context column holds no finite number",
    "drop_outside": "the share of dropped rows lies outside [0, 1)",
    "duplicate": "an earlier row has the same id",
    "thinned": "left out at random, because rows like it were dropped less often than others",
}
CODES = {name: code for code, name in enumerate(REASONS)}
NAMES = tuple(REASONS)
SET_ASIDE = ("not_activated", "thinned")
LISTED = 10_000  # rows of each reason in the file; the counts know no such limit
SLACK = 1e-4  # how far probabilities that someone printed may sum beside 1


class Verdicts(NamedTuple):
    """One reason per row, and the value that led to it."""

    code: NDArray[np.int8]  # (n,) place in `REASONS`, 0: used
    value: Floats  # (n,) NaN where the reason has none


class _Marks:
    """Reasons so far: a row keeps its first."""

    def __init__(self, n: int) -> None:
        self.code = np.zeros(n, np.int8)
        self.value = np.full(n, np.nan)

    def mark(self, reason: str, bad: Any, *, value: Floats | Ints | None = None) -> None:
        fresh = bad & (self.code == 0)
        self.code[fresh] = CODES[reason]
        if value is not None:
            self.value[fresh] = value[fresh]


def judged(batch: Batch, reward_range: RewardRange | None = None) -> Verdicts:
    """What is wrong with each row of a batch by itself; duplicates are found elsewhere.

    Args:
        batch: as a reader yields it.
        reward_range: what the user declares; None declares nothing.
    """
    marks, n = _Marks(batch.row.size), batch.row.size
    if batch.is_readable is not None:
        marks.mark("unreadable", ~batch.is_readable)
    if batch.is_activated is not None:
        marks.mark("not_activated", ~batch.is_activated)
    marks.mark("no_reward", ~np.isfinite(batch.reward), value=batch.reward)
    if reward_range is not None:
        lo, hi = reward_range
        marks.mark("reward_outside", (batch.reward < lo) | (batch.reward > hi), value=batch.reward)
    p = batch.propensity
    marks.mark("no_propensity", np.isnan(p))
    marks.mark("propensity_outside", ~((p > 0) & (p <= 1 + SLACK)), value=p)
    marks.mark("action_outside", batch.slot < 0)
    _judge_tables(batch, marks)
    if batch.context is not None:
        marks.mark("context_unfit", ~np.isfinite(batch.context).all(axis=1))
    if batch.drop_prob is not None:
        marks.mark("drop_outside", ~((batch.drop_prob >= 0) & (batch.drop_prob < 1)), value=batch.drop_prob)
    assert marks.code.shape == (n,)
    return Verdicts(marks.code, marks.value)


def _judge_tables(batch: Batch, marks: _Marks) -> None:
    """Distributions: of the logger a whole one that holds the logged probability, of the target at most 1."""
    rows, slot = np.arange(batch.row.size), np.maximum(batch.slot, 0)
    if batch.behavior is not None:
        total = batch.behavior.sum(axis=1)
        marks.mark("action_outside", batch.slot >= batch.behavior.shape[1])
        marks.mark("behavior_unfit", _is_odd(batch.behavior) | np.asarray(~(np.abs(total - 1) <= SLACK)), value=total)
        own = batch.behavior[rows, np.minimum(slot, batch.behavior.shape[1] - 1)]
        marks.mark("behavior_unfit", ~(np.abs(own - batch.propensity) <= SLACK), value=own)
    if batch.target is not None:
        total = batch.target.sum(axis=1)
        marks.mark("target_unfit", _is_odd(batch.target) | ~(total <= 1 + SLACK), value=total)
    if batch.target_logged is not None:
        p = batch.target_logged
        marks.mark("target_unfit", ~((p >= 0) & (p <= 1 + SLACK)), value=p)


def _is_odd(table: Floats) -> NDArray[np.bool_]:
    return np.asarray(~(table >= 0).all(axis=1))  # NaN included


class Listing:
    """`rejected.csv` in the making: row, id, reason, value; exact counts of every reason.

    Use as a context manager; `count` afterwards.
    """

    def __init__(self, file: Path) -> None:
        self.count: Counter[str] = Counter()
        self._file = file.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(["row", "id", "reason", "value"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, batch: Batch, verdicts: Verdicts) -> None:
        """Count every row of a batch by its reason, and list the first `LISTED` of each."""
        found = np.bincount(verdicts.code, minlength=len(NAMES))
        for code in np.flatnonzero(found[1:]) + 1:
            self.note(batch, np.flatnonzero(verdicts.code == code), NAMES[code], value=verdicts.value)
        self.count["used"] += int(found[0])

    def note(self, batch: Batch, which: Ints, reason: str, *, value: Floats | Ints | None = None) -> None:
        """Count and list some rows of a batch under one reason."""
        left = max(LISTED - self.count[reason], 0)
        self.count[reason] += which.size
        for at in which[:left].tolist():
            said = "" if value is None or np.isnan(value[at]) else f"{value[at]:.6g}"
            self._writer.writerow([int(batch.row[at]), _text(batch.ids, at), reason, said])

    def move(self, batch: Batch, which: Ints, reason: str, *, value: Floats | Ints | None = None) -> None:
        """As `note`, for rows that `add` had counted as used."""
        self.count["used"] -= which.size
        self.note(batch, which, reason, value=value)


def _text(ids: Any, at: int) -> str:
    found = None if ids is None else ids[at].as_py()
    return "" if found is None else str(found)


def counted(n: int) -> str:
    """A number of rows in words.

    >>> counted(1), counted(2_000)
    ('1 row', '2,000 rows')
    """
    return f"{n:,} {'row' if n == 1 else 'rows'}"


def rejected(count: Mapping[str, int]) -> dict[str, int]:
    """The reasons that count towards the refusal, by their rows: neither used nor set aside."""
    return {name: n for name, n in count.items() if n and name != "used" and name not in SET_ASIDE}


def refuse_many(count: Mapping[str, int], *, most: float, where: str) -> None:
    """Refuse a file of which more than a share cannot be used.

    Args:
        count: rows by reason, `used` among them.
        most: largest share of rows, 0..1; those set aside count on neither side.
        where: the file and its listing, for the message.

    Raises:
        ValueError: too many, or none is left.
    """
    bad = rejected(count)
    n_bad, total = sum(bad.values()), sum(bad.values()) + count.get("used", 0)
    said = "; ".join(
        f"{n:,} {name} ({REASONS[name]})" for name, n in sorted(bad.items(), key=lambda kv: (-kv[1], kv[0]))
    )
    if total == 0 or count.get("used", 0) == 0:
        raise ValueError(f"{where}: 0 rows can be used{': ' + said if said else ''}; need at least one")
    if n_bad > most * total:
        raise ValueError(
            f"{where}: {n_bad:,} of {counted(total)} ({n_bad / total:.2%}) cannot be used, need at most {most:.2%}: "
            f"{said}; mend them, or allow more with experiment.max_rejected_share"
        )
