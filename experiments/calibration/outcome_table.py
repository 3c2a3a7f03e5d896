"""A table of outcomes, or our own decision log, as arrays that a fit can read.

One row is one answer. Columns are recognised by the decision log's names or their short
forms, else the settings name them. A cell that cannot be read makes its row unusable: such
rows are counted by reason, and more than a stated share of them is refused. An empty cell
is no fault: that row says nothing about that part.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from envs.recorded.tables import (
    CSV_ENDS,
    PARQUET_ENDS,
    Table,
    codes_of,
    file_digest,
    number_of,
    read_table,
    rows_where,
    take,
)
from envs.targets import ConfigError, refuse
from evaluators.decisions import COLUMNS

__all__ = ["Columns", "Outcomes", "Selection", "read_outcomes"]

Floats = NDArray[np.float64]
Names = str | tuple[str, ...]
T = TypeVar("T")
FLAGS = ("failure", "truncated")
RANGES = {  # least and largest number that is a value
    "temperature": (0.0, 100.0),
    "quality": (0.0, 1.0),
    "output_tokens": (0.0, 1e9),
    "input_tokens": (0.0, 1e9),
    "latency_ms": (0.0, 1e9),
    "max_tokens": (1.0, 1e9),
    "top_p": (0.0, 1.0),
}
_KEYS = {"problem": "cluster", "task_type": "task_type"}


@dataclass(frozen=True)
class Columns:
    """Which column holds what; null: the decision log's own name, or its short form, if the table has it.

    Attributes:
        task_type: columns that together name a task type; without one, all rows are of one type.
        problem: identity of a problem, one column or several; standard errors are clustered by it.
        temperature: of the answer; likewise `max_tokens` and `top_p`.
        quality: 0..1.
        output_tokens: length of the answer, in any unit (see `token_unit`).
        input_tokens: length of the request.
        latency_ms: of the whole answer.
        failure: whether the call failed.
        truncated: whether the answer was cut off at max_tokens.
    """

    task_type: Names | None = None
    problem: Names | None = None
    temperature: str | None = None
    quality: str | None = None
    output_tokens: str | None = None
    input_tokens: str | None = None
    latency_ms: str | None = None
    failure: str | None = None
    truncated: str | None = None
    max_tokens: str | None = None
    top_p: str | None = None


class Selection(NamedTuple):
    """How to read a table: its columns, rows to keep, units of length per token, share of bad rows allowed."""

    columns: Columns
    where: Mapping[str, Names]
    token_unit: float
    max_bad_share: float


class Outcomes(NamedTuple):
    """r answers; a part without column or cell is NaN.

    Attributes:
        tasks: names of the task types, ascending.
        task: (r,) task type.
        problem: (r,) problem; where the table names none, each row is its own.
        parts: part -> (r,) numbers, all of `RANGES` and `FLAGS`; lengths in tokens.
        given: part -> the column it came from.
        unit: one recorded unit of length, in tokens.
        is_whole: whether every recorded length is a whole number of units.
        source: file name and the beginning of its SHA-256.
        notes: what was read and what was left out, in sentences.
    """

    tasks: tuple[str, ...]
    task: NDArray[np.int64]
    problem: NDArray[np.int64]
    parts: Mapping[str, Floats]
    given: Mapping[str, str]
    unit: float
    is_whole: bool
    source: str
    notes: tuple[str, ...]


def read_outcomes(path: Path, selection: Selection) -> Outcomes:
    """The answers of a file, or of every Parquet file in a folder.

    Args:
        path: CSV (also compressed), Parquet, or a folder such as a run's `log/`.
        selection: how to read it.

    Raises:
        ConfigError: nothing there, a column that is missing, no column a fit can use, no row that
            `where` keeps, or too many unusable rows.
    """
    given = _recognised(path, selection.columns)
    wanted = {f"experiment.columns.{part}[{i}]": n for part, names in given.items() for i, n in enumerate(names)}
    wanted |= {f"experiment.where.{name}": name for name in selection.where}
    table = _ours(partial(read_table, path, wanted))
    total = len(table.rows)
    for column, values in selection.where.items():
        allowed = (values,) if isinstance(values, str) else tuple(values)
        table = take(table, _ours(partial(rows_where, table, column, allowed)))
    if not len(table.rows):
        raise refuse("experiment.where", dict(selection.where), f"values that some row of {path.name} has together")
    source = f"{path.name} (sha256 {file_digest(path)})"
    kept = f", {len(table.rows):,} of them after experiment.where" if selection.where else ""
    notes = [f"{source}: {total:,} rows{kept}."]
    parts, bad = _parts(table, given)
    notes += _judged(bad, len(table.rows), selection.max_bad_share)
    keep = ~np.logical_or.reduce([np.zeros(len(table.rows), np.bool_), *bad.values()])
    notes += _empties(parts, given, keep)
    names, task = _groups(table, given.get("task_type", ()), keep)
    problem = _groups(table, given["problem"], keep)[1] if "problem" in given else np.arange(int(keep.sum()))
    lengths = parts["output_tokens"][keep]
    recorded = lengths[np.isfinite(lengths)]
    scaled = {name: values[keep] for name, values in parts.items()}
    scaled["output_tokens"] = scaled["output_tokens"] / selection.token_unit
    return Outcomes(
        tasks=names,
        task=task,
        problem=problem,
        parts=scaled,
        given={part: " + ".join(columns) for part, columns in given.items()},
        unit=1.0 / selection.token_unit,
        is_whole=bool(np.all(recorded == np.rint(recorded))),
        source=source,
        notes=tuple(notes),
    )


def _ours(read: Callable[[], T]) -> T:
    """What a reader of world tables answers, its refusals under the names of our settings."""
    try:
        return read()
    except ConfigError as error:
        text = str(error).replace("world.path", "data").replace("world.where", "experiment.where")
        raise ConfigError(text) from error


def _header(path: Path) -> list[str]:
    """Column names of a file, or of the first Parquet file in a folder."""
    inside = (
        sorted(file for file in path.rglob("*") if file.name.lower().endswith(PARQUET_ENDS)) if path.is_dir() else []
    )
    file = inside[0] if inside else path
    if not file.is_file() or not file.name.lower().endswith((*CSV_ENDS, *PARQUET_ENDS)):
        need = "a folder with Parquet files" if path.is_dir() else "a file that exists"
        raise refuse("data", str(path), f"{need}; names end in one of {', '.join((*CSV_ENDS, *PARQUET_ENDS))}")
    try:
        if file.name.lower().endswith(CSV_ENDS):
            return list(csv.open_csv(file).schema.names)
        return list(parquet.read_schema(file).names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refuse("data", str(file), f"a table that can be read ({error})") from error


def _recognised(path: Path, columns: Columns) -> dict[str, tuple[str, ...]]:
    """Part -> columns: the settings' choice, else a name of the decision log that the table has."""
    header = _header(path)
    found: dict[str, tuple[str, ...]] = {}
    for item in fields(Columns):
        asked = getattr(columns, item.name)
        short = _KEYS.get(item.name, item.name)
        known = [COLUMNS[short].name] if short in COLUMNS else []
        own = [name for name in (*known, item.name) if name in header]
        names = (asked,) if isinstance(asked, str) else tuple(asked or own[:1])
        if names:
            found[item.name] = names
    if not ({"temperature", "quality"} <= found.keys() or {"output_tokens", "latency_ms"} & found.keys()):
        need = "columns to fit: temperature and quality, or output_tokens, or latency_ms"
        raise refuse("experiment.columns", sorted(found), f"{need}; {path.name} has {', '.join(header)}")
    return found


def _parts(
    table: Table, given: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Floats], dict[str, NDArray[np.bool_]]]:
    """Part -> numbers, and reason -> rows it makes unusable."""
    n = len(table.rows)
    parts, bad = {}, {}
    for part in (*RANGES, *FLAGS):
        parts[part] = np.full(n, math.nan)
        if part not in given:
            continue
        labels, codes = table.columns[given[part][0]]
        values = np.array([number_of(label) for label in labels])
        is_empty = np.array([label.strip() == "" for label in labels])
        low, high = RANGES.get(part, (0.0, 1.0))
        fits = np.isin(values, (0.0, 1.0)) if part in FLAGS else (values >= low) & (values <= high)
        need = "true or false" if part in FLAGS else f"a number from {low:g} to {high:g}"
        wrong = (~fits & ~is_empty)[codes]
        if wrong.any():
            first = int(np.argmax(wrong))
            bad[f"{part} is not {need} (column {given[part][0]!r}, first: {table.spot(first)})"] = wrong
        parts[part] = np.where(fits, values, math.nan)[codes]
    return parts, bad


def _judged(bad: Mapping[str, NDArray[np.bool_]], n: int, most: float) -> list[str]:
    """A sentence per reason.

    Raises:
        ConfigError: more rows are unusable than the settings allow.
    """
    if not bad:
        return ["Every row can be used."]
    unusable = int(np.logical_or.reduce(list(bad.values())).sum())
    said = [f"{int(rows.sum()):,} where {reason}" for reason, rows in bad.items()]
    if unusable > most * n or unusable == n:
        need = f"at most {most:.3g} of the rows unusable, {unusable:,} of {n:,} are ({'; '.join(said)}); mend them, or"
        raise refuse("data", f"{unusable / n:.3g} unusable", f"{need} raise experiment.max_bad_share")
    return [f"{unusable:,} of {n:,} rows cannot be used and were left out: {'; '.join(said)}."]


def _empties(parts: Mapping[str, Floats], given: Mapping[str, tuple[str, ...]], keep: NDArray[np.bool_]) -> list[str]:
    empty = {part: int(np.isnan(parts[part][keep]).sum()) for part in parts if part in given}
    said = [f"{part} {count:,}" for part, count in empty.items() if count]
    return [f"Empty cells, which say nothing about their part alone: {', '.join(said)}."] if said else []


def _groups(table: Table, names: tuple[str, ...], keep: NDArray[np.bool_]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Distinct combinations of some columns among the rows kept, and the code of each."""
    if not names:
        return ("all",), np.zeros(int(keep.sum()), np.int64)
    kept = take(table, keep)
    found, codes = codes_of(kept, names)
    varying = [i for i in range(len(names)) if len({key[i] for key in found}) > 1] or [0]
    return tuple("/".join(key[i] for i in varying) or "none" for key in found), codes
