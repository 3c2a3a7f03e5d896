"""From a table of recorded outcomes to units, actions and parts: what `world=replay` stands on.

A unit is one problem within one task type: a model, a prompt, an exam, as the columns say.
Several rows of one unit at one action are replicates. Rows are never dropped in silence:
what is left out is counted in the notes, and what cannot be read is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import AXES, Axis, Lattice
from envs.tables import Table, codes_of, file_digest, numbers, read_table, rows_where, take
from envs.targets import refuse
from envs.tasks import FeatureSpec, TaskFeatures

__all__ = ["PARTS", "Columns", "Recording", "Source", "read_recording"]

Names = str | tuple[str, ...]
PARTS = ("quality", "output_tokens", "latency_ms", "cost_usd", "failure", "truncated")  # of an Outcome, in order
_SHARES = ("quality", "failure", "truncated")
_LIMITS = {"temperature": ("0", "100"), "max_tokens": ("1", "1e9"), "top_p": ("0", "1")}
_LIMITS |= {"frequency_penalty": ("-2", "2"), "presence_penalty": ("-2", "2")}


@dataclass(frozen=True)
class Columns:
    """Which column holds what; null where the table does not have it.

    Attributes:
        problem: identity of a problem, one column or several; standard errors are clustered by it.
        temperature: grid value of the answer's temperature; likewise the other parameters.
        quality: 0..1.
        task_type: columns that together name a task type; left out, the model.
        output_tokens: length of the answer, in any unit (see `token_unit`).
        input_tokens: length of the request, an entry of the context.
        failure: whether the call failed.
    """

    problem: Names
    temperature: str
    quality: str
    task_type: Names | None = None
    model: str | None = None
    max_tokens: str | None = None
    top_p: str | None = None
    frequency_penalty: str | None = None
    presence_penalty: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    latency_ms: str | None = None
    cost_usd: str | None = None
    failure: str | None = None
    truncated: str | None = None


@dataclass(frozen=True)
class Source:
    """A file and how to read it; the fields mean what they mean in a replay world's settings."""

    path: str
    columns: Columns
    where: Mapping[str, Names] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)  # the one value of an axis without a column
    token_unit: float = 1.0
    skip_incomplete: bool = False


class Recording(NamedTuple):
    """n units and r rows.

    Attributes:
        lattice: the recorded grid values of every axis.
        names: task types, ascending.
        task: (n,) task type of each unit, ascending.
        cluster: (n,) problem of each unit.
        tasks: n task features.
        spec: how they become context vectors.
        unit: (r,) unit of each row.
        action: (r,) action id of each row.
        parts: (r, 6) `PARTS` of each row, 0 where there is no column.
        notes: what was read and what was left out, in sentences.
    """

    lattice: Lattice
    names: tuple[str, ...]
    task: NDArray[np.int32]
    cluster: NDArray[np.int32]
    tasks: tuple[TaskFeatures, ...]
    spec: FeatureSpec
    unit: NDArray[np.int64]
    action: NDArray[np.int32]
    parts: NDArray[np.float64]
    notes: tuple[str, ...]


def _listed(names: Names | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _wanted(source: Source) -> dict[str, str]:
    """Setting -> column, for every column that is read."""
    wanted = {f"world.where.{name}": name for name in source.where}
    for item in fields(Columns):
        found = _listed(getattr(source.columns, item.name))
        for i, name in enumerate(found):
            wanted[f"world.columns.{item.name}" + (f"[{i}]" if len(found) > 1 else "")] = name
    return wanted


def _kept(source: Source) -> tuple[Table, tuple[str, ...]]:
    """The rows that `where` asks for and that have every cell, and what to say about the others."""
    path = Path(source.path).expanduser()
    table = read_table(path, _wanted(source))
    total = len(table.rows)
    for column, values in source.where.items():
        table = take(table, rows_where(table, column, _listed(values)))
    kept = f", {len(table.rows)} of them after world.where" if source.where else ""
    notes = [f"{path.name} (sha256 {file_digest(path)}...): {total} rows{kept}."]
    if not len(table.rows):
        raise refuse("world.where", dict(source.where), f"values that some row of {path.name} has together")
    missing = np.zeros(len(table.rows), np.bool_)
    for name in dict.fromkeys(c for s, c in _wanted(source).items() if s != "world.columns.input_tokens"):
        empty = np.array([label.strip() == "" for label in table.columns[name].labels])[table.columns[name].codes]
        if empty.any() and not source.skip_incomplete:
            place = f"(row {table.rows[int(np.argmax(empty))]}, {int(empty.sum())} such rows)"
            need = f"a value in every row {place}; fill them, or set world.skip_incomplete=true to leave them out"
            raise refuse(f"world.columns: column {name!r}", "", need)
        missing |= empty
    if missing.all():
        raise refuse("world.path", str(path), "rows without empty cells; every row has one")
    if missing.any():
        notes.append(f"{int(missing.sum())} rows have an empty cell and were left out (world.skip_incomplete).")
    return take(table, ~missing), tuple(notes)


def _axis(table: Table, name: str, source: Source) -> tuple[Axis, NDArray[np.int64]]:
    """The recorded values of an axis as exact decimals, and (r,) coordinate of each row."""
    column = getattr(source.columns, name)
    if column is None:
        return Axis(name, (source.absent[name],)), np.zeros(len(table.rows), np.int64)
    labels, codes = table.columns[column]
    low, high = (Decimal(end) for end in _LIMITS[name])
    seen = np.unique(codes)
    values: dict[int, Decimal] = {}
    for code in seen:
        try:
            values[int(code)] = Decimal(labels[code].strip())
            is_good = low <= values[int(code)] <= high
        except InvalidOperation:
            is_good = False
        if not is_good:
            place = f"(column {column!r}, row {table.rows[int(np.argmax(codes == code))]})"
            need = f"a decimal number >= {low} and <= {high} in every row {place}"
            raise refuse(f"world.columns.{name}", labels[code], need)
    levels = sorted(set(values.values()))
    place_of = np.zeros(len(labels), np.int64)
    for at, value in values.items():
        place_of[at] = levels.index(value)
    return Axis(name, tuple(f"{value.normalize():f}" for value in levels)), place_of[codes]


def _parts(table: Table, source: Source) -> NDArray[np.float64]:
    """(r, 6) the parts of each outcome."""
    parts = np.zeros((len(table.rows), len(PARTS)))
    for i, name in enumerate(PARTS):
        column = getattr(source.columns, name)
        if column is not None:
            high = 1.0 if name in _SHARES else 1e12
            flag = name in _SHARES and name != "quality"
            parts[:, i] = numbers(table, column, f"world.columns.{name}", high=high, flag=flag)
    parts[:, PARTS.index("output_tokens")] /= source.token_unit
    return parts


def _units(table: Table, source: Source) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Task type names, (n, 2) task type and problem of each unit, (r,) unit of each row."""
    columns = source.columns
    kinds = _listed(columns.task_type) or _listed(columns.model)
    found, kind = codes_of(table, kinds) if kinds else ([("all",)], np.zeros(len(table.rows), np.int64))
    varying = [i for i in range(len(found[0])) if len({key[i] for key in found}) > 1] or [0]
    names = tuple("/".join(key[i] for i in varying) for key in found)
    _, problem = codes_of(table, _listed(columns.problem))
    pairs, unit = np.unique(np.stack([kind, problem], axis=1), axis=0, return_inverse=True)
    return names, pairs, unit.reshape(-1)


def _model(table: Table, source: Source, first: NDArray[np.int64], unit: NDArray[np.int64]) -> list[str | None]:
    """The model of each unit.

    Raises:
        ConfigError: a unit with answers of two models; the model must then be part of the task type.
    """
    if source.columns.model is None:
        return [None] * len(first)
    labels, codes = table.columns[source.columns.model]
    mixed = np.flatnonzero(codes != codes[first][unit])
    if mixed.size:
        got, other = labels[codes[mixed[0]]], labels[codes[first][unit][mixed[0]]]
        need = f"one model per task type and problem; row {table.rows[mixed[0]]} has {got!r}, the unit began with "
        raise refuse("world.columns.model", source.columns.model, f"{need}{other!r} (add it to columns.task_type)")
    return [labels[code] for code in codes[first]]


def _prompt_tokens(
    table: Table, source: Source, failed: NDArray[np.bool_], unit: NDArray[np.int64]
) -> list[int | None]:
    """The median request length of each unit over its calls that did not fail; None where it is not known."""
    column, n_units = source.columns.input_tokens, int(unit.max()) + 1
    if column is None:
        return [None] * n_units
    values = numbers(table, column, "world.columns.input_tokens", high=1e12)
    keep = np.isfinite(values) & ~failed
    order = np.lexsort((values[keep], unit[keep]))
    sorted_values, sorted_units = values[keep][order], unit[keep][order]
    start = np.searchsorted(sorted_units, np.arange(n_units))
    count = np.bincount(sorted_units, minlength=n_units)
    return [int(np.rint(np.median(sorted_values[s : s + c]))) if c else None for s, c in zip(start, count, strict=True)]


def _spec(tasks: tuple[TaskFeatures, ...]) -> FeatureSpec:
    """Context entries of what was recorded: request length, centred and scaled on these units, and the model."""
    known = np.log1p([task.prompt_tokens for task in tasks if task.prompt_tokens is not None])
    models = tuple(sorted({task.model_name for task in tasks if task.model_name is not None}))
    if not known.size:
        return FeatureSpec((), models)
    return FeatureSpec((("prompt_tokens", float(known.mean()), float(known.std()) or 1.0),), models)


def _remarks(source: Source, parts: NDArray[np.float64]) -> tuple[str, ...]:
    """What a reader must know of the outcomes."""
    absent = [name for name in AXES if getattr(source.columns, name) is None]
    unknown = [name for name in PARTS if getattr(source.columns, name) is None]
    odd = int(np.sum((parts[:, PARTS.index("failure")] > 0) & (parts[:, 0] > 0)))
    notes = [f"Not varied in the record, so one value each, the baseline's: {', '.join(absent)}."] if absent else []
    if unknown:
        notes.append(f"Not recorded, shown as 0 and without a weight in the reward: {', '.join(unknown)}.")
    if odd:
        notes.append(f"{odd} rows report a failed call and a quality above 0; both are kept as recorded.")
    return tuple(notes)


def read_recording(source: Source) -> Recording:
    """Read and check a table of recorded outcomes.

    Raises:
        ConfigError: anything that cannot be read as it stands: one line that names the setting,
            the value, the row and what is allowed.
    """
    table, notes = _kept(source)
    grid = [_axis(table, name, source) for name in AXES]
    parts = _parts(table, source)
    names, pairs, unit = _units(table, source)
    first = np.unique(unit, return_index=True)[1]
    models = _model(table, source, first, unit)
    lengths = _prompt_tokens(table, source, parts[:, PARTS.index("failure")] > 0, unit)
    tasks = tuple(TaskFeatures(model_name=m, prompt_tokens=p) for m, p in zip(models, lengths, strict=True))
    lattice = Lattice(tuple(axis for axis, _ in grid))
    return Recording(
        lattice=lattice,
        names=names,
        task=pairs[:, 0].astype(np.int32),
        cluster=pairs[:, 1].astype(np.int32),
        tasks=tasks,
        spec=_spec(tasks),
        unit=unit,
        action=lattice.encode(np.stack([place for _, place in grid], axis=1)),
        parts=parts,
        notes=(*notes, *_remarks(source, parts)),
    )
