"""A table of anybody's: CSV, compressed CSV or Parquet, whose columns the settings name.

Reward, propensity and action are needed. With the logger's whole distribution (a list column, or columns such
as `p_*`) every estimator and interval can run; without it the log is partial, and only the logged action counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluators.reading.arrays import digests, indicators, is_text, lists, numbers, plain, texts
from evaluators.reading.batches import Batch, Facts, batch_rows, unreadable, widened
from evaluators.reading.tables import Part, is_parquet, names_of, parts, pick

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

__all__ = ["BUCKETS", "Columns", "Mapped"]

BUCKETS = 16  # indicator columns of one text column
MAX_LABELS = 10_000


@dataclass(frozen=True)
class Columns:
    """Which column holds what; empty: the file has none.

    Attributes:
        reward: reward units.
        propensity: the logger's probability of the action it took.
        action: which one; any text or whole number.
        id: of the row, each once.
        cluster: rows that move together, such as those of one user.
        group: parts that are also judged apart.
        behavior: the logger's whole distribution: a list column, or a pattern such as `p_*`.
        labels: the actions in the order of the whole distributions; empty: what the pattern's * stands for,
            or 0, 1, ... for a list.
        context: columns of numbers for the reward model.
        categories: columns of texts for it, each as 16 indicators.
    """

    reward: str = "reward"
    propensity: str = "propensity"
    action: str = "action"
    id: str = ""
    cluster: str = ""
    group: str = ""
    behavior: str = ""
    labels: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class _Whole(NamedTuple):
    """A whole distribution: columns of the file, one list or one per action."""

    names: tuple[str, ...]
    labels: tuple[str, ...]  # () for a list


class Mapped:
    """Reader of a table with named columns.

    Args:
        file: the table.
        columns: which column holds what.
        target: column of the target's probability of the logged action, list column of its whole
            distribution, or a pattern; empty: the target is no column.

    Raises:
        FileNotFoundError: no file there.
        ValueError: a column that the file lacks, or distributions that name different actions.
    """

    def __init__(self, file: Path, columns: Columns, *, target: str = "") -> None:
        self._file, self._columns, self._target = file, columns, target
        self._found = names_of(file)
        self._behavior = self._whole(columns.behavior)
        self._whole_target = self._whole(target) if target and self._is_whole(target) else None
        self._wanted = self._needed()
        pick(file, self._found, self._wanted)
        self._fixed = self._order()
        self._seen: dict[str, int] = {}
        self._groups: set[str] = set()
        self._width = len(self._fixed)

    def facts(self) -> Facts:
        """The actions in one order whatever the order of the rows, and the groups."""
        labels = self._fixed or _sorted(self._seen)
        if self._has_lists and not labels:
            labels = tuple(str(i) for i in range(self._width))
        return Facts(labels, len(labels), tuple(sorted(self._groups)))

    def batches(self, facts: Facts | None = None) -> Iterator[Batch]:
        """As `Reader.batches`.

        Raises:
            ValueError: the file cannot be read on, or has too many actions to be a set of actions.
        """
        n_columns = len(self._wanted) + BUCKETS * len(self._columns.categories)
        width = max(n_columns, self._width, facts.n_slots if facts else 0)
        for part in parts(self._file, self._wanted, rows=batch_rows(width)):
            if part.lost.size:
                yield unreadable(part.lost)
            if part.row.size:
                yield self._batch(part, facts)

    def _whole(self, pattern: str) -> _Whole | None:
        if not pattern:
            return None
        if "*" not in pattern:
            return _Whole((pattern,), ())
        head, _, tail = pattern.partition("*")
        names = [name for name in self._found if fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(f"{self._file} has no column {pattern!r}; it has {', '.join(self._found[:30])}")
        by_label = {name[len(head) : len(name) - len(tail)]: name for name in names}
        order = _sorted(by_label)
        return _Whole(tuple(by_label[label] for label in order), order)

    def _is_whole(self, name: str) -> bool:
        """Whether a target's column is a distribution: a pattern, a list, or texts that are lists."""
        if "*" in name:
            return True
        pick(self._file, self._found, [name])
        first = next(iter(parts(self._file, [name], rows=1000)), None)
        if first is None or first.table is None:
            return False
        column = plain(first.table.column(name))
        if is_text(column.type):
            cells = [text.strip() for text in column.to_pylist() if text]
            return any(mark in cell for cell in cells[:10] for mark in ("[", " ", ";", ","))
        return bool(pa.types.is_list(column.type) or pa.types.is_large_list(column.type))

    def _needed(self) -> tuple[str, ...]:
        c = self._columns
        single = [name for name in (c.reward, c.propensity, c.action, c.id, c.cluster, c.group) if name]
        whole = [name for found in (self._behavior, self._whole_target) if found for name in found.names]
        logged = [self._target] if self._target and self._whole_target is None else []
        return tuple(dict.fromkeys([*single, *whole, *logged, *c.context, *c.categories]))

    @property
    def _has_lists(self) -> bool:
        return self._behavior is not None or self._whole_target is not None

    def _order(self) -> tuple[str, ...]:
        """The actions where the settings or patterns name them."""
        named = {found.labels for found in (self._behavior, self._whole_target) if found and found.labels}
        if len(named) > 1:
            one, other = sorted(named)
            raise ValueError(f"{self._file}: distributions over different actions, {one[:5]}... and {other[:5]}...")
        return self._columns.labels or (named.pop() if named else ())

    def _batch(self, part: Part, facts: Facts | None) -> Batch:
        c, column = self._columns, part.table.column
        behavior, target = (self._table(found, part) for found in (self._behavior, self._whole_target))
        labels = facts.labels if facts else self._fixed
        if facts:
            behavior, target = (t if t is None else widened(t, facts.n_slots) for t in (behavior, target))
        group = np.array(texts(column(c.group)).fill_null("").to_pylist(), object) if c.group else None
        if facts is None and group is not None:
            self._groups.update(group.tolist())
        logged = bool(self._target) and self._whole_target is None
        return Batch(
            row=part.row,
            reward=numbers(column(c.reward)),
            propensity=numbers(column(c.propensity)),
            slot=self._slots(column(c.action), labels),
            ids=texts(column(c.id)) if c.id else None,
            behavior=behavior,
            target=target,
            target_logged=numbers(column(self._target)) if logged else None,
            context=self._context(part),
            cluster=digests(column(c.cluster)).view(np.int64) if c.cluster else None,
            group=group,
        )

    def _table(self, found: _Whole | None, part: Part) -> Floats | None:
        if found is None:
            return None
        if found.labels:
            return np.stack([numbers(part.table.column(name)) for name in found.names], axis=1)
        table, absent = lists(part.table.column(found.names[0]))
        table[absent] = np.nan
        self._width = max(self._width, table.shape[1])
        return table

    def _slots(self, array: Any, labels: Sequence[str]) -> Ints:
        """(n,) place of each action's label; -1 where there is none."""
        coded = texts(array).dictionary_encode()
        words = coded.dictionary.to_pylist()
        if labels or self._has_lists:
            known = {label: at for at, label in enumerate(labels)}
            place = [known.get(word, -1) if labels else _whole_number(word) for word in words]
        else:
            place = [self._seen.setdefault(word, len(self._seen)) for word in words]
            if len(self._seen) > MAX_LABELS:
                raise ValueError(
                    f"{self._file}: column {self._columns.action!r} has more than {MAX_LABELS:,} distinct values, "
                    f"need at most that many actions; is it an id?"
                )
        at = numbers(coded.indices)
        lookup = np.array([*place, -1], np.int64)
        return lookup[np.where(np.isnan(at), len(place), at).astype(np.int64)]

    def _context(self, part: Part) -> Floats | None:
        c, column = self._columns, part.table.column
        found = [numbers(column(name))[:, None] for name in c.context]
        found += [indicators(column(name), BUCKETS) for name in c.categories]
        return np.concatenate(found, axis=1) if found else None


def _whole_number(word: str) -> int:
    return int(word) if word.isdecimal() else -1


def _sorted(labels: Sequence[str] | dict[str, Any]) -> tuple[str, ...]:
    """Labels by number where all of them are numbers, else as texts."""
    found = list(labels)
    if all(label.isdecimal() for label in found):
        return tuple(sorted(found, key=lambda label: (int(label), label)))
    return tuple(sorted(found))


def is_table(file: Path) -> bool:
    """Whether a name says CSV or Parquet."""
    return is_parquet(file) or ".csv" in "".join(file.suffixes).lower() or ".tsv" in "".join(file.suffixes).lower()
