"""A user's table, read as text: CSV (also compressed), Parquet, or a folder of Parquet files.

Every column is a list of distinct cells and one code per row. A number is parsed once per
distinct cell, grid values stay the decimals that were written, and a refusal can name the
row, the column and the cell. Nothing is guessed: an empty cell stays an empty cell. The
files of a folder are one table, in the order of their names.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv, parquet

from envs.targets import ConfigError, nearest, refuse

__all__ = ["Column", "Table", "codes_of", "file_digest", "number_of", "numbers", "read_table", "rows_where", "take"]

CSV_ENDS = (".csv", ".csv.gz", ".csv.bz2", ".csv.zst")
PARQUET_ENDS = (".parquet", ".pq")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_FAULTS = (pa.ArrowException, OSError, ValueError)


class Column(NamedTuple):
    """Cells of one column: distinct texts in ascending order, (r,) code of each row; "" is an empty cell."""

    labels: tuple[str, ...]
    codes: NDArray[np.int64]


class Table(NamedTuple):
    """Columns by name, and (r,) number of each row in the data, from 1; of several files, first row and name."""

    columns: Mapping[str, Column]
    rows: NDArray[np.int64]
    files: tuple[tuple[int, str], ...] = ()

    def spot(self, at: int) -> str:
        """Where a row stands in the data, in words.

        >>> Table({}, np.array([1, 2, 3]), ((1, "a.parquet"), (3, "b.parquet"))).spot(2)
        'row 1 of b.parquet'
        """
        number = int(self.rows[at])
        first, name = [(1, ""), *(file for file in self.files if file[0] <= number)][-1]
        return f"row {number - first + 1}" + (f" of {name}" if name else "")


def _files(path: Path) -> list[Path]:
    """A file, or the Parquet files anywhere in a folder; names that begin with . or _ are left out."""
    if not path.is_dir():
        return [path]
    found = [file for file in path.rglob("*") if file.name.lower().endswith(PARQUET_ENDS) and file.is_file()]
    return sorted(file for file in found if not file.name.startswith((".", "_")))


def file_digest(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a file, or of the digests of a folder's files."""
    digests = []
    for part in _files(path):
        with part.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    whole = digests[0] if not path.is_dir() else hashlib.sha256("".join(digests).encode()).hexdigest()
    return whole[:16]


def read_table(path: Path, wanted: Mapping[str, str]) -> Table:
    """The wanted columns of a file, or of all Parquet files in a folder.

    Args:
        path: of a table with a header, or of a folder.
        wanted: setting -> name of the column that it asks for; settings stand in refusals.

    Raises:
        ConfigError: the file is missing, of another kind, broken or empty, has two columns of
            one name, or lacks a wanted column (the nearest name is given); a folder without
            Parquet files.
    """
    files, used = _files(path), list(dict.fromkeys(wanted.values()))
    if not files:
        raise refuse("world.path", str(path), f"a folder with files whose names end in {' or '.join(PARQUET_ENDS)}")
    parts = [_read_file(file, wanted) for file in files]
    counts = [part.num_rows for part in parts]
    if not sum(counts):
        raise refuse("world.path", str(path), "a table with rows; this one has a header only")
    columns = {name: _column(pa.chunked_array([c for p in parts for c in p.column(name).chunks])) for name in used}
    firsts = np.cumsum([1, *counts[:-1]]).tolist()
    names = [str(file.relative_to(path)) for file in files] if path.is_dir() else []
    return Table(columns, np.arange(1, sum(counts) + 1), tuple(zip(firsts, names, strict=False)))


def _read_file(path: Path, wanted: Mapping[str, str]) -> pa.Table:
    """The wanted columns of one file, as text."""
    if not path.is_file():
        raise refuse("world.path", str(path), "a file or a folder that exists")
    if not path.name.lower().endswith((*CSV_ENDS, *PARQUET_ENDS)):
        need = f"a folder, or a file whose name ends in one of {', '.join((*CSV_ENDS, *PARQUET_ENDS))}"
        raise refuse("world.path", str(path), need)
    is_csv, used = path.name.lower().endswith(CSV_ENDS), list(dict.fromkeys(wanted.values()))
    try:
        names = csv.open_csv(path).schema.names if is_csv else parquet.read_schema(path).names
        _check_names(path, names, wanted)
        raw = _read_csv(path, used) if is_csv else parquet.read_table(path, columns=used, partitioning=None)
        return pa.table({name: pc.cast(raw.column(name), pa.string()) for name in used})
    except ConfigError:
        raise
    except _FAULTS as error:
        raise refuse("world.path", str(path), f"a table that can be read ({error})") from error


def _check_names(path: Path, names: list[str], wanted: Mapping[str, str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise refuse("world.path", str(path), f"columns of different names; {twice[0]!r} is there twice")
    for setting, name in wanted.items():
        if name not in names:
            known = f"a column of {path.name}: {', '.join(names)}"
            raise refuse(setting, name, known + nearest(name, names))


def _read_csv(path: Path, used: list[str]) -> pa.Table:
    as_text = csv.ConvertOptions(include_columns=used, column_types=dict.fromkeys(used, pa.string()))
    return csv.read_csv(path, convert_options=as_text)


def _column(raw: pa.ChunkedArray) -> Column:
    text = pc.fill_null(raw, "")
    labels = sorted(pc.unique(text).to_pylist())
    codes = pc.index_in(text, value_set=pa.array(labels, pa.string())).to_numpy()
    return Column(tuple(labels), codes.astype(np.int64))


def take(table: Table, mask: NDArray[np.bool_]) -> Table:
    """The rows where `mask` (r,) holds, under the codes they had."""
    columns = {name: Column(column.labels, column.codes[mask]) for name, column in table.columns.items()}
    return Table(columns, table.rows[mask], table.files)


def rows_where(table: Table, column: str, allowed: tuple[str, ...]) -> NDArray[np.bool_]:
    """(r,) whether a row's cell is one of `allowed`.

    Raises:
        ConfigError: a value that no row has (the nearest one is given).
    """
    labels, codes = table.columns[column]
    for value in allowed:
        if value not in labels:
            shown = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
            raise refuse(f"world.where.{column}", value, f"one of {shown}{nearest(value, labels)}")
    return np.isin(codes, [labels.index(value) for value in allowed])


def codes_of(table: Table, names: tuple[str, ...]) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """Distinct combinations of some columns' cells in ascending order, and (r,) code of each row."""
    grid = np.stack([table.columns[name].codes for name in names], axis=1)
    distinct, codes = np.unique(grid, axis=0, return_inverse=True)
    labels = [table.columns[name].labels for name in names]
    return [tuple(of[i] for of, i in zip(labels, row, strict=True)) for row in distinct], codes.reshape(-1)


def numbers(
    table: Table, name: str, setting: str, *, low: float = 0.0, high: float = math.inf, flag: bool = False
) -> NDArray[np.float64]:
    """(r,) the cells of a column as numbers; NaN where the cell is empty.

    Args:
        table: the rows.
        name: of the column.
        setting: that asked for it, for refusals.
        low: least number allowed.
        high: largest number allowed.
        flag: only 0, 1, true, false, yes and no are allowed.

    Raises:
        ConfigError: a cell that is no finite number, NaN included, or out of range.
    """
    labels, codes = table.columns[name]
    values = np.array([number_of(label) for label in labels])
    fits = np.isin(values, (0.0, 1.0)) if flag else (values >= low) & (values <= high) & np.isfinite(values)
    bad = ~fits[codes] & np.array([label.strip() != "" for label in labels])[codes]
    if bad.any():
        need = "true or false" if flag else _range(low, high)
        first = int(np.argmax(bad))
        place = f"in every row (column {name!r}, {table.spot(first)}, {int(bad.sum())} such rows)"
        raise refuse(setting, labels[codes[first]], f"{need} {place}")
    return np.asarray(values[codes], np.float64)


def number_of(label: str) -> float:
    """The number a cell holds, NaN if none; true, false, yes and no are 1 and 0.

    >>> number_of("1e-3"), number_of(" True"), number_of("1_0")
    (0.001, 1.0, nan)
    """
    try:
        return math.nan if "_" in label else float(label)
    except ValueError:
        return _WORDS.get(label.strip().lower(), math.nan)


def _range(low: float, high: float) -> str:
    return f"a number >= {low:g}" + (f" and <= {high:g}" if math.isfinite(high) else "")
