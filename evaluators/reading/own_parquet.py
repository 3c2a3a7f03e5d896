"""Our own decision log, streamed: every row carries its window, the logger's exact masses and the context.

`evaluators.log.read_log` checks a whole log in memory; this reads logs of any length, row by row, and
leaves the verdict on each row to `rejects.judged`. Feedback that never came has no reward and is counted so.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.decisions import COLUMNS
from evaluators.log import SCHEMA_VERSION
from evaluators.reading.arrays import digests, numbers, plain, texts
from evaluators.reading.batches import Batch, Facts, Windows, batch_rows
from evaluators.reading.tables import names_of, parts, pick
from policies.masses import TOTAL

Ints = NDArray[np.int64]

__all__ = ["OwnParquet", "is_own"]

VERSION = "guardband.schema_version"
PARAMETERS = ("temperature", "max_tokens", "top_p", "frequency_penalty", "presence_penalty")
FIELDS = (
    *("request_id", "context", "task_type", "centre", "action_ids", "mask", "masses", "propensity", "action_id"),
    *("reward", "cluster", *PARAMETERS),
)


def is_own(names: tuple[str, ...]) -> bool:
    """Whether a file's columns are those of our own log."""
    return VERSION in names


class OwnParquet:
    """Reader of our own log.

    Args:
        file: what `evaluators.log.write_log` wrote.

    Raises:
        FileNotFoundError: no file there.
        ValueError: a column is missing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._wanted = (VERSION, *(COLUMNS[name].name for name in FIELDS))
        pick(file, names_of(file), self._wanted)
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._tasks: set[str] = set()
        self._width = 0

    def facts(self) -> Facts:
        """Every action that stood in some window, by id, and the task types."""
        labels = tuple(str(i) for i in self._ids.tolist())
        return Facts(labels, self._width, tuple(sorted(self._tasks)), is_windowed=True)

    def batches(self, facts: Facts | None = None) -> Iterator[Batch]:
        """As `Reader.batches`.

        Raises:
            ValueError: the file cannot be read on, rows of different widths, or another schema version.
        """
        for part in parts(self._file, self._wanted, rows=batch_rows(256)):
            yield self._batch(part.table, part.row, facts)

    def _batch(self, table: Any, row: Ints, facts: Facts | None) -> Batch:
        version = numbers(table.column(VERSION))
        if (version != SCHEMA_VERSION).any():
            raise ValueError(f"{self._file}: {VERSION} = {version[0]:g}, need {SCHEMA_VERSION}, which this code reads")
        one = {name: table.column(COLUMNS[name].name) for name in FIELDS}
        ids, mask, masses, features = (
            self._square(one[name], name) for name in ("action_ids", "mask", "masses", "context")
        )
        action_ids, feasible = ids.astype(np.int64), mask == 1
        is_logged = (action_ids == numbers(one["action_id"])[:, None]) & feasible
        task = np.array(texts(one["task_type"]).fill_null("").to_pylist(), object)
        if facts is None:
            self._ids = np.union1d(self._ids, np.unique(action_ids))
            self._tasks.update(task.tolist())
            self._width = action_ids.shape[1]
        sent = np.stack([numbers(one[name]) for name in PARAMETERS], axis=1)
        return Batch(
            row=row,
            reward=numbers(one["reward"]),
            propensity=numbers(one["propensity"]),
            slot=np.where(is_logged.any(axis=1), is_logged.argmax(axis=1), -1),
            ids=texts(one["request_id"]),
            behavior=masses / TOTAL,
            mask=feasible,
            actions=None if facts is None else np.searchsorted(self._labels(facts), action_ids),
            context=features if facts is None else self._context(features, task, facts),
            cluster=digests(one["cluster"]).view(np.int64),
            group=task,
            windows=Windows(action_ids, numbers(one["centre"]).astype(np.int64), task, features, sent),
        )

    def _square(self, array: Any, name: str) -> NDArray[np.float64]:
        """(n, k) a list column whose rows are of one length."""
        array = plain(array)
        flat = numbers(array.flatten())
        if array.null_count or flat.size % len(array) or (np.diff(numbers(array.value_lengths())) != 0).any():
            raise ValueError(f"{self._file}: {COLUMNS[name].name} has rows of different lengths, need one length")
        return flat.reshape(len(array), -1)

    @staticmethod
    def _labels(facts: Facts) -> Ints:
        return np.array([int(label) for label in facts.labels], np.int64)

    @staticmethod
    def _context(features: NDArray[np.float64], task: NDArray[np.object_], facts: Facts) -> NDArray[np.float64]:
        """(n, d + tasks) the context vector and which task type it is."""
        place = {name: at for at, name in enumerate(facts.groups)}
        kind = np.eye(len(facts.groups))[[place[name] for name in task]]
        return np.concatenate([features, kind], axis=1)
