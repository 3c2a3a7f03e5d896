"""VW's decision service JSON: one decision a line, its cost, probability and whole distribution.

The reward is minus the cost. `a` lists the row's actions, from 1, and `p` their probabilities in the same order; an
action is its place in the row's own list. Rows marked `_skipLearn` were never shown. `pdrop` is the chance that a row
was left out of the log: where it differs between rows, `passes` thins the rows kept more often.
Blocks are parsed by Arrow; a block with a line that is no JSON is parsed again line by line.
"""

import bz2
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.json as paj
from numpy.typing import NDArray

from evaluators.reading.arrays import lists, missing, numbers, texts
from evaluators.reading.batches import Batch, Facts, unreadable, widened

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

__all__ = ["Dsjson"]

BLOCK = 2**24  # bytes parsed at a time
FIELDS = {
    "_label_cost": pa.float64(),
    "_label_probability": pa.float64(),
    "_label_Action": pa.int64(),
    "_labelIndex": pa.int64(),
    "a": pa.list_(pa.int64()),
    "p": pa.list_(pa.float64()),
    "EventId": pa.string(),
    "pdrop": pa.float64(),
    "_skipLearn": pa.bool_(),
}


class Dsjson:
    """Reader of this format.

    Args:
        file: lines of JSON, also compressed (.gz, .bz2).
        target: field with the target's probability of the logged action, or list field with its distribution in
            the order of `a`; empty: the target is no field.

    Raises:
        FileNotFoundError: no file there.
        ValueError: no line has the target's field.
    """

    def __init__(self, file: Path, *, target: str = "") -> None:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not a file, need lines of decision service JSON")
        self._file, self._target, self._width = file, target, 0
        self._has_table = self._sample("p") is not None
        self._types = FIELDS | ({target: self._type_of(target)} if target else {})

    def facts(self) -> Facts:
        """Actions by their place, from 1."""
        return Facts(tuple(str(i + 1) for i in range(self._width)), self._width)

    def batches(self, facts: Facts | None = None) -> Iterator[Batch]:
        """As `Reader.batches`; an empty line is no row.

        Raises:
            ValueError: the file cannot be read on.
        """
        first = 1
        for block in self._blocks():
            table, good, n = self._parsed(block)
            if not good.all():
                yield unreadable(first + np.flatnonzero(~good))
            if good.any():
                yield self._batch(table, first + np.flatnonzero(good), facts)
            first += n

    def _open(self) -> IO[bytes]:
        opened: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}
        stream: IO[bytes] = opened.get(self._file.suffix, open)(self._file, "rb")
        return stream

    def _blocks(self) -> Iterator[list[bytes]]:
        try:
            with self._open() as source:
                while lines := source.readlines(BLOCK):
                    yield [line for line in lines if not line.isspace()]
        except (OSError, EOFError) as error:
            raise ValueError(f"{self._file} cannot be read: {error}") from None

    def _type_of(self, field: str) -> Any:
        """The Arrow type of the target's field, by the first line that has it."""
        found = self._sample(field)
        if found is None:
            raise ValueError(f"{self._file}: no line has the field {field!r}, need one with the target's probabilities")
        return pa.list_(pa.float64()) if isinstance(found, list) else pa.float64()

    def _sample(self, field: str) -> Any:
        """A field of the first line that has it, within the first block."""
        lines = next(self._blocks(), [])
        return next((one[field] for one in map(_object, lines) if one is not None and field in one), None)

    def _parsed(self, lines: list[bytes]) -> tuple[Any, NDArray[np.bool_], int]:
        """The block's table, which of its lines are in it, and how many there are."""
        good = np.ones(len(lines), np.bool_)
        try:
            table = self._arrow(lines)
            if table.num_rows == len(lines):
                return table, good, len(lines)
        except pa.ArrowException:
            pass
        found = [_fitting(_object(line), self._types) for line in lines]
        good[:] = [one is not None for one in found]
        kept = [one for one in found if one is not None]
        schema = pa.schema(list(self._types.items()))
        return pa.Table.from_pylist(kept, schema=schema), good, len(lines)

    def _arrow(self, lines: list[bytes]) -> Any:
        if not lines:
            return pa.table({name: pa.array([], kind) for name, kind in self._types.items()})
        text = b"".join(lines)
        return paj.read_json(
            io.BytesIO(text),
            read_options=paj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=paj.ParseOptions(
                explicit_schema=pa.schema(list(self._types.items())), unexpected_field_behavior="ignore"
            ),
        )

    def _batch(self, table: Any, row: Ints, facts: Facts | None) -> Batch:
        column = table.column
        chosen = _first(numbers(column("_label_Action")) - 1, numbers(column("_labelIndex")))
        order, no_order = lists(column("a"))
        chosen = _first(chosen, np.where(no_order, np.nan, order[:, 0] - 1) if order.shape[1] else chosen)
        behavior, mask = self._table(column("p"), order)
        width = max(facts.n_slots if facts else 0, behavior.shape[1])
        self._width = max(self._width, width)
        target, logged = None, None
        if self._target:
            is_list = pa.types.is_list(self._types[self._target])
            target = widened(self._table(column(self._target), order)[0], width) if is_list else None
            logged = None if is_list else numbers(column(self._target))
        skipped = numbers(column("_skipLearn"))
        slot = np.where((chosen >= 0) & (chosen < width) & (chosen == np.floor(chosen)), chosen, -1)
        return Batch(
            row=row,
            reward=-numbers(column("_label_cost")),
            propensity=numbers(column("_label_probability")),
            slot=slot.astype(np.int64),
            ids=None if missing(texts(column("EventId"))).all() else texts(column("EventId")),
            behavior=widened(behavior, width) if self._has_table else None,
            target=target,
            target_logged=logged,
            mask=np.pad(mask, ((0, 0), (0, width - mask.shape[1]))),
            drop_prob=np.nan_to_num(numbers(column("pdrop")), nan=0.0),
            is_activated=~(skipped == 1),
        )

    def _table(self, array: Any, order: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """(n, k) probabilities moved from the order of `a` to each action's own place, and where actions are."""
        listed, absent = lists(array)
        width = max(listed.shape[1], order.shape[1])
        listed, order = widened(listed, width), widened(order, width)
        n_actions = (order > 0).sum(axis=1, keepdims=True)
        place = np.where(order > 0, order - 1, 0).astype(np.int64)
        top = int(place.max(initial=0)) + 1
        table, mask = np.zeros((len(listed), max(width, top))), np.zeros((len(listed), max(width, top)), np.bool_)
        rows = np.arange(len(listed))[:, None]
        np.add.at(table, (np.broadcast_to(rows, place.shape), place), np.where(order > 0, listed, 0.0))
        mask[np.broadcast_to(rows, place.shape)[order > 0], place[order > 0]] = True
        odd = absent | (mask.sum(axis=1) != n_actions[:, 0]) | ((listed != 0) & (order <= 0)).any(axis=1)
        table[odd] = np.nan
        return table, mask


def _first(one: Floats, other: Floats) -> Floats:
    return np.where(np.isnan(one), other, one)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _fitting(found: dict[str, Any] | None, types: dict[str, Any]) -> dict[str, Any] | None:
    """The fields that are read, None if one of them is of another kind."""
    if found is None:
        return None
    kept = {name: found.get(name) for name in types}
    try:
        for name, kind in types.items():
            pa.scalar(kept[name], kind)
    except (pa.ArrowException, TypeError, ValueError):
        return None
    return kept
