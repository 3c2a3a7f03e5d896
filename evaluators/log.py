"""The decision log as a Parquet file: written whole, read back only if it can be judged.

The same log gives the same bytes. Needs NumPy and pyarrow; arrays pass between them as
plain buffers, because pyarrow's own conversions load pandas where it is installed.
"""

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.lattice import Lattice
from envs.targets import nearest
from evaluators.decisions import (
    COLUMNS,
    DTYPES,
    Column,
    DecisionLog,
    Kind,
    prompt_hash,
    request_parameters,
    take_rows,
)
from evaluators.log_checks import check_log

__all__ = [
    "SCHEMA_VERSION",
    "DecisionLog",
    "check_log",
    "prompt_hash",
    "read_log",
    "request_parameters",
    "take_rows",
    "write_log",
]

SCHEMA_VERSION = 1
MAX_ENTRIES = 2**31 - 1  # of a column in one file: offsets are 32 bits wide
_VERSION = Column("guardband.schema_version", "int32", is_list=False)
_TYPES: dict[Kind, Any] = {
    "text": pa.string(),
    "float": pa.float64(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}


def _is_utc(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


_READABLE: dict[Kind, tuple[Callable[[Any], bool], str]] = {
    "text": (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), "text"),
    "float": (_is_number, "numbers"),
    "int32": (pa.types.is_integer, "integers"),
    "int64": (pa.types.is_integer, "integers"),
    "bool": (pa.types.is_boolean, "booleans"),
    "time": (_is_utc, "timestamps with the time zone UTC"),
}


def write_log(path: str | PathLike[str], log: DecisionLog) -> None:
    """Check a log and write it, whole or not at all; an existing file is replaced.

    Decisions whose feedback never came are written too: all their outcome columns and the reward are NaN.

    Args:
        path: the file.
        log: its rows.

    Raises:
        ValueError: as `check_log`.
        TypeError: as `check_log`.
    """
    log, file = check_log(log, may_lack_feedback=True), Path(path)
    version = np.full(len(log), SCHEMA_VERSION, np.int32)
    columns = [_VERSION, *COLUMNS.values()]
    arrays = [_to_arrow(version, _VERSION), *(_to_arrow(getattr(log, n), c) for n, c in COLUMNS.items())]
    table = pa.Table.from_arrays(arrays, names=[column.name for column in columns])
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        pq.write_table(table, draft, compression="zstd")
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def read_log(
    path: str | PathLike[str], *, lattice: Lattice | None = None, may_lack_feedback: bool = False
) -> DecisionLog:
    """Read a log and refuse what can't be judged.

    Args:
        path: the file.
        lattice: if given, every action must lie on it.
        may_lack_feedback: as `check_log`.

    Raises:
        FileNotFoundError: no file there.
        ValueError: not Parquet, an empty file, a missing or unknown column (the nearest one is
            named), an unknown schema version, a missing value, or as `check_log`.
        TypeError: a column of the wrong kind.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file, need a decision log that write_log wrote")
    table = _read_table(file)
    try:
        _check_names(table.column_names)
        version = _from_arrow(table, _VERSION)
        strange = np.flatnonzero(version != SCHEMA_VERSION)
        if strange.size:
            got, row = version[strange[0]], strange[0]
            raise ValueError(f"{_VERSION.name}, row {row} = {got}, need {SCHEMA_VERSION}, which this code reads")
        arrays = {name: _from_arrow(table, column) for name, column in COLUMNS.items()}
        return check_log(DecisionLog(**arrays), lattice=lattice, may_lack_feedback=may_lack_feedback)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{file}: {error}") from None


def _read_table(file: Path) -> Any:
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty (0 bytes), need a decision log in Parquet")
    try:
        with pq.ParquetFile(file) as source:
            table = source.read().combine_chunks()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{file} can't be read as Parquet ({reason}), need a file that write_log wrote") from None
    if table.num_rows == 0:
        raise ValueError(f"{file} has no rows, need at least one decision")
    return table


def _check_names(found: list[str]) -> None:
    known = [_VERSION.name, *(column.name for column in COLUMNS.values())]
    for name in found:
        if name not in known:
            raise ValueError(f"unknown column {name!r}{nearest(name, known)}; need {len(known)} columns of the schema")
        if found.count(name) > 1:
            raise ValueError(f"column {name!r} stands {found.count(name)} times, need it once")
    for name in known:
        if name not in found:
            raise ValueError(f"column {name!r} is missing, the file has {len(found)} columns; need {len(known)}")


def _plain(values: NDArray[Any], kind: Kind) -> Any:
    """A flat NumPy array as an Arrow array without nulls."""
    if kind == "text":
        raw = [text.encode("utf-8") for text in values]
        ends = _offsets(np.cumsum([0, *map(len, raw)]))
        return pa.StringArray.from_buffers(len(raw), pa.py_buffer(ends), pa.py_buffer(b"".join(raw)))
    if kind == "bool":
        return _plain(values.astype(np.int32), "int32").cast(pa.bool_())
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(_TYPES[kind], values.size, [None, buffer])


def _to_arrow(values: NDArray[Any], column: Column) -> Any:
    flat = _plain(values.ravel(), column.kind)
    if not column.is_list:
        return flat
    n, width = values.shape
    return pa.ListArray.from_arrays(_plain(_offsets(np.arange(n + 1) * width), "int32"), flat)


def _offsets(ends: NDArray[np.int64]) -> NDArray[np.int32]:
    if ends[-1] > MAX_ENTRIES:
        raise ValueError(f"a column of {ends[-1]:,} entries, need at most {MAX_ENTRIES:,}; write several files")
    return ends.astype(np.int32)


def _from_arrow(table: Any, column: Column) -> NDArray[Any]:
    array = table.column(column.name).chunk(0)
    if not column.is_list:
        return _to_numpy(array, column)
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        raise TypeError(f"{column.name} has type {array.type}, need a list of {_READABLE[column.kind][1]}")
    _refuse_nulls(array, column)
    lengths = np.from_dlpack(array.value_lengths())
    odd = np.flatnonzero(lengths != lengths[0])
    if odd.size:
        got = f"{lengths[odd[0]]} entries, row 0 has {lengths[0]}"
        raise ValueError(f"{column.name}, row {odd[0]} has {got}; need one length in all rows")
    return _to_numpy(array.flatten(), column).reshape(len(array), -1)


def _refuse_nulls(array: Any, column: Column) -> None:
    if array.null_count:
        at = array.is_null().index(True).as_py()
        raise ValueError(
            f"{column.name} has no value at {at} ({array.null_count} of {len(array)}), need one everywhere"
        )


def _to_numpy(array: Any, column: Column) -> NDArray[Any]:
    fits, words = _READABLE[column.kind]
    if not fits(array.type):
        raise TypeError(f"{column.name} has type {array.type}, need {words}")
    _refuse_nulls(array, column)
    if column.kind == "text":
        return np.array(array.to_pylist(), DTYPES["text"])
    try:
        settled = array.cast(_TYPES[column.kind])
    except pa.ArrowInvalid as error:
        raise ValueError(f"{column.name}: {error}, need {words} that {_TYPES[column.kind]} can hold") from None
    if column.kind == "bool":
        return np.from_dlpack(settled.cast(pa.uint8())).astype(np.bool_)
    if column.kind == "time":
        return np.from_dlpack(settled.cast(pa.int64())).view(DTYPES["time"])
    return np.from_dlpack(settled)
