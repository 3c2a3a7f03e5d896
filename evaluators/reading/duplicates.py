"""Which rows repeat an id, among 10^8 rows, in constant memory: digests spilled to disk by their leading bits.

Each row costs 16 bytes on disk (a 64-bit digest and the row number) while the file is read, and one
part of 256 at a time is sorted in memory: 1.6 GB of disk and some 25 MB of memory for 10^8 rows.
Two ids that share a digest would be taken for one: among 10^8 distinct ids about 3 chances in 10,000 of
a single such row.
"""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from evaluators.reading.arrays import Digests

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

__all__ = ["Repeats", "Spill", "is_among"]

PARTS = 256
_BITS = np.uint64(56)  # the leading 8 of 64 bits choose the part
_RECORD = np.dtype([("digest", "<u8"), ("row", "<i8")])


class Repeats(NamedTuple):
    """Rows whose id stood earlier in the file, ascending, and where it stood first."""

    row: Ints
    first: Ints


class Spill:
    """Digests on their way to disk; `repeats` at the end. Use as a context manager."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="digests-", dir=folder)
        self._files: list[BinaryIO] = [self._path(part).open("wb") for part in range(PARTS)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        self._folder.cleanup()

    def _path(self, part: int) -> Path:
        return Path(self._folder.name) / f"{part:03d}"

    def add(self, digest: Digests, row: Ints) -> None:
        """Write (n,) digests with their row numbers."""
        part = (digest >> _BITS).astype(np.uint8)
        order = np.argsort(part, kind="stable")  # radix: one pass over a byte
        records = np.empty(digest.size, _RECORD)
        records["digest"], records["row"] = digest[order], row[order]
        ends = np.searchsorted(part[order], np.arange(PARTS + 1))
        for at, file in enumerate(self._files):
            if ends[at] < ends[at + 1]:
                file.write(records[ends[at] : ends[at + 1]].data)

    def repeats(self) -> Repeats:
        """Every row whose digest an earlier one has."""
        for file in self._files:
            file.flush()
        found = [_repeats(np.fromfile(self._path(part), _RECORD)) for part in range(PARTS)]
        row, first = (np.concatenate([pair[i] for pair in found]) for i in (0, 1))
        order = np.argsort(row)
        return Repeats(row[order], first[order])


def _repeats(records: NDArray[Any]) -> tuple[Ints, Ints]:
    order = np.lexsort((records["row"], records["digest"]))
    digest, row = records["digest"][order], records["row"][order].astype(np.int64)
    again = np.zeros(digest.size, np.bool_)
    again[1:] = digest[1:] == digest[:-1]
    start = np.maximum.accumulate(np.where(again, 0, np.arange(digest.size))) if digest.size else order
    return row[again], row[start[again]]


def is_among(row: Ints, sought: Ints) -> Bools:
    """(n,) which rows are among some ascending row numbers.

    >>> is_among(np.array([3, 4, 9]), np.array([4, 7])).tolist()
    [False, True, False]
    """
    if not sought.size:
        return np.zeros(row.shape, np.bool_)
    at = np.minimum(np.searchsorted(sought, row), sought.size - 1)
    return np.asarray(sought[at] == row)
