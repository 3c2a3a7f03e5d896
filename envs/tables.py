"""A user's table, read as text: CSV (also compressed) or Parquet.

Every column is a list of distinct cells and one code per row. A number is parsed once per
distinct cell, grid values stay the decimals that were written, and a refusal can name the
row, the column and the cell. Nothing is guessed: an empty cell stays an empty cell.
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

__all__ = ["Column", "Table", "codes_of", "file_digest", "numbers", "read_table", "rows_where", "take"]

CSV_ENDS = (".csv", ".csv.gz", ".csv.bz2", ".csv.zst")
PARQUET_ENDS = (".parquet", ".pq")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_FAULTS = (pa.ArrowException, OSError, ValueError)


class Column(NamedTuple):
    """Cells of one column: distinct texts in ascending order, (r,) code of each row; "" is an empty cell."""

    labels: tuple[str, ...]
    codes: NDArray[np.int64]


class Table(NamedTuple):
    """Columns by name, and (r,) number of each row in the file's data, from 1."""

    columns: Mapping[str, Column]
    rows: NDArray[np.int64]


def file_digest(path: Path) -> str:
    """The first 16 hex digits of the file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_table(path: Path, wanted: Mapping[str, str]) -> Table:
    """The wanted columns of a file.

    Args:
        path: of a table with a header.
        wanted: setting -> name of the column that it asks for; settings stand in refusals.

    Raises:
        ConfigError: the file is missing, of another kind, broken or empty, has two columns of
            one name, or lacks a wanted column (the nearest name is given).
    """
    ends = (*CSV_ENDS, *PARQUET_ENDS)
    if not path.is_file():
        raise refuse("world.path", str(path), "a file that exists")
    if not path.name.lower().endswith(ends):
        raise refuse("world.path", str(path), f"a file whose name ends in one of {', '.join(ends)}")
    is_csv = path.name.lower().endswith(CSV_ENDS)
    try:
        names = csv.open_csv(path).schema.names if is_csv else parquet.ParquetFile(path).schema_arrow.names
        _check_names(path, names, wanted)
        used = list(dict.fromkeys(wanted.values()))
        raw = _read_csv(path, used) if is_csv else parquet.ParquetFile(path).read(columns=used)
        columns = {name: _column(raw.column(name)) for name in used}
    except ConfigError:
        raise
    except _FAULTS as error:
        raise refuse("world.path", str(path), f"a table that can be read ({error})") from error
    if not raw.num_rows:
        raise refuse("world.path", str(path), "a table with rows; this one has a header only")
    return Table(columns, np.arange(1, raw.num_rows + 1))


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
    text = pc.fill_null(pc.cast(raw, pa.string()), "")
    labels = sorted(pc.unique(text).to_pylist())
    codes = pc.index_in(text, value_set=pa.array(labels, pa.string())).to_numpy()
    return Column(tuple(labels), codes.astype(np.int64))


def take(table: Table, mask: NDArray[np.bool_]) -> Table:
    """The rows where `mask` (r,) holds, under the codes they had."""
    columns = {name: Column(column.labels, column.codes[mask]) for name, column in table.columns.items()}
    return Table(columns, table.rows[mask])


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
    values = np.array([_number(label) for label in labels])
    fits = np.isin(values, (0.0, 1.0)) if flag else (values >= low) & (values <= high) & np.isfinite(values)
    bad = ~fits[codes] & np.array([label.strip() != "" for label in labels])[codes]
    if bad.any():
        need = "true or false" if flag else _range(low, high)
        first = int(np.argmax(bad))
        place = f"in every row (column {name!r}, row {table.rows[first]}, {int(bad.sum())} such rows)"
        raise refuse(setting, labels[codes[first]], f"{need} {place}")
    return np.asarray(values[codes], np.float64)


def _number(label: str) -> float:
    try:
        return math.nan if "_" in label else float(label)
    except ValueError:
        return _WORDS.get(label.strip().lower(), math.nan)


def _range(low: float, high: float) -> str:
    return f"a number >= {low:g}" + (f" and <= {high:g}" if math.isfinite(high) else "")
