"""From a table of recorded outcomes to units, actions and parts: what `world=replay` stands on.

A unit is one problem within one task type: a model, a prompt, an exam, as the columns say.
Several rows of one unit at one action are replicates. Where problems hardly ever repeat, as
in a log of traffic, a unit is a random group of problems. Rows are never dropped in silence:
what is left out is counted in the notes, and what cannot be read is refused by name.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import AXES, MAX_ACTIONS, MODEL, Axis, Lattice
from envs.recorded.dealing import GROUPS, deal
from envs.recorded.interpolation import check_steps, even_grid, without_gaps
from envs.recorded.sources import PARTS, Columns, Source, kept_rows, listed
from envs.recorded.tables import Table, codes_of, numbers
from envs.targets import refuse
from envs.tasks import FeatureSpec, TaskFeatures

__all__ = ["PARTS", "Columns", "Recording", "Source", "read_recording"]

MAX_CELLS = 1 << 26  # units times actions: a quarter of a GiB


class Recording(NamedTuple):
    """n units and r rows.

    Attributes:
        lattice: the recorded grid values of every axis, an interpolated axis filled up evenly, and others if asked.
        names: task types, ascending.
        task: (n,) task type of each unit, ascending.
        cluster: (n,) problem of each unit, or group of problems.
        tasks: n task features.
        spec: how they become context vectors.
        unit: (r,) unit of each row.
        action: (r,) action id of each row.
        parts: (r, 6) `PARTS` of each row, 0 where there is no column.
        propensity: (r,) of each row's action when it was chosen, NaN where there is no column.
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
    propensity: NDArray[np.float64]
    notes: tuple[str, ...]


def _axis(table: Table, name: str, source: Source) -> tuple[Axis, NDArray[np.int64]]:
    """The values of an axis as exact decimals, and (r,) coordinate of each row."""
    column = getattr(source.columns, name)
    if column is None:
        return Axis(name, (source.absent[name],)), np.zeros(len(table.rows), np.int64)
    labels, codes = table.columns[column]
    values = {int(code): Decimal(labels[code].strip()) + 0 for code in np.unique(codes)}  # + 0: -0 is 0
    levels = sorted(set(values.values()))
    if name in source.interpolate:
        levels = even_grid(name, levels, str(source.interpolate[name]))
    elif source.fill_gaps:
        levels = without_gaps(levels)
    place_of, place = np.zeros(len(labels), np.int64), {value: at for at, value in enumerate(levels)}
    for code, value in values.items():
        place_of[code] = place[value]
    return Axis(name, tuple(f"{value.normalize():f}" for value in levels)), place_of[codes]


def _models(table: Table, source: Source) -> tuple[Axis, NDArray[np.int64]]:
    """The recorded models as an axis, names ascending, and (r,) place of each row; else one name."""
    if source.model_is != "action" or source.columns.model is None:
        return Axis(MODEL, (source.absent[MODEL],)), np.zeros(len(table.rows), np.int64)
    labels, codes = table.columns[source.columns.model]
    used, place = np.unique(codes, return_inverse=True)
    return Axis(MODEL, tuple(labels[code] for code in used)), place.reshape(-1)


def _parts(table: Table, source: Source) -> NDArray[np.float64]:
    """(r, 6) the parts of each outcome."""
    parts = np.zeros((len(table.rows), len(PARTS)))
    for i, name in enumerate(PARTS):
        column = getattr(source.columns, name)
        if column is not None:
            parts[:, i] = numbers(table, column, f"world.columns.{name}")
    parts[:, PARTS.index("output_tokens")] /= source.token_unit
    return parts


def _propensity(table: Table, source: Source) -> NDArray[np.float64]:
    """(r,) of each row, NaN where it was not recorded."""
    column = source.columns.propensity
    return np.full(len(table.rows), np.nan) if column is None else numbers(table, column, "world.columns.propensity")


def _kinds(source: Source) -> tuple[str, ...]:
    """The columns that together name a task type."""
    columns, named = source.columns, listed(source.columns.task_type)
    if source.model_is != "action":
        return named or listed(columns.model)
    if columns.model in named:
        need = "columns other than the model, which is an action (world.model_is)"
        raise refuse("world.columns.task_type", list(named), need)
    return named


def _problems(table: Table, source: Source, kind: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(r,) problem of each row, or its group of problems, and what to say about groups."""
    found, problem = codes_of(table, listed(source.columns.problem))
    if not source.groups:
        return problem, ()
    hand = deal(kind, problem, n_hands=source.groups, seed=source.split_seed, stream=GROUPS)
    note = (
        f"{len(found)} problems were dealt at random into {source.groups} groups (world.groups), which stand for "
        "problems from here on."
    )
    return hand[problem].astype(np.int64), (note,)


class _Units(NamedTuple):
    """Task type names, (n,) task type and problem of each unit, (r,) unit of each row, a remark."""

    names: tuple[str, ...]
    task: NDArray[np.int32]
    cluster: NDArray[np.int32]
    of: NDArray[np.int64]
    notes: tuple[str, ...]


def _units(table: Table, source: Source) -> _Units:
    kinds = _kinds(source)
    found, kind = codes_of(table, kinds) if kinds else ([("all",)], np.zeros(len(table.rows), np.int64))
    varying = [i for i in range(len(found[0])) if len({key[i] for key in found}) > 1] or [0]
    names = tuple("/".join(key[i] for i in varying) for key in found)
    problem, notes = _problems(table, source, kind)
    pairs, unit = np.unique(np.stack([kind, problem], axis=1), axis=0, return_inverse=True)
    task, cluster = pairs.T.astype(np.int32)
    return _Units(names, task, cluster, unit.reshape(-1), notes)


def _model(table: Table, source: Source, first: NDArray[np.int64], unit: NDArray[np.int64]) -> list[str | None]:
    """The model of each unit.

    Raises:
        ConfigError: a unit with answers of two models; the model must then be part of the task type.
    """
    if source.columns.model is None or source.model_is == "action":
        return [None] * len(first)
    labels, codes = table.columns[source.columns.model]
    mixed = np.flatnonzero(codes != codes[first][unit])
    if mixed.size:
        got, other = labels[codes[mixed[0]]], labels[codes[first][unit][mixed[0]]]
        need = f"one model per task type and problem; {table.spot(mixed[0])} has {got!r}, the unit began with {other!r}"
        mend = " (add it to columns.task_type, or set world.model_is=action)"
        raise refuse("world.columns.model", source.columns.model, need + mend)
    return [labels[code] for code in codes[first]]


def _prompt_tokens(
    table: Table, source: Source, failed: NDArray[np.bool_], unit: NDArray[np.int64]
) -> list[int | None]:
    """The median request length of each unit over its calls that did not fail; None where it is not known."""
    column, n_units = source.columns.input_tokens, int(unit.max()) + 1
    if column is None:
        return [None] * n_units
    values = numbers(table, column, "world.columns.input_tokens")
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


def _filled(grid: Sequence[tuple[Axis, NDArray[np.int64]]], source: Source) -> tuple[str, ...]:
    """How many values of which axis are on the grid although nobody recorded them."""
    added = {a.name: len(a.values) - len(np.unique(place)) for a, place in grid if a.name not in source.interpolate}
    said = [f"{added[a.name]} of the {len(a.values)} values of {a.name}" for a, _ in grid if added.get(a.name)]
    what = "Filled in (world.fill_gaps) so that steps are even, never recorded and never to be played"
    return (f"{what}: {', '.join(said)}.",) if said else ()


def _lattice(axes: tuple[Axis, ...], *, n_units: int) -> Lattice:
    """All combinations of the axes' values, if a table of them fits."""
    size = math.prod(len(axis.values) for axis in axes)
    if size > MAX_ACTIONS or size * n_units > MAX_CELLS:
        got = ", ".join(f"{axis.name} {len(axis.values)}" for axis in axes if len(axis.values) > 1)
        need = f"at most {MAX_ACTIONS} actions, and {MAX_CELLS} of them times units ({n_units}); coarser steps,"
        raise refuse(
            "world.path, world.interpolate",
            f"values: {got}",
            f"{need} fewer rows (world.where) or world.fill_gaps=false make them so",
        )
    return Lattice(axes)


def read_recording(source: Source) -> Recording:
    """Read and check a table of recorded outcomes.

    Raises:
        ConfigError: anything that cannot be read as it stands: one line that names the setting,
            the value, the row and what is allowed.
    """
    check_steps(source.interpolate, {name: getattr(source.columns, name) for name in AXES})
    table, source, notes = kept_rows(source)
    grid = [*(_axis(table, name, source) for name in AXES), _models(table, source)]
    parts = _parts(table, source)
    units = _units(table, source)
    first = np.unique(units.of, return_index=True)[1]
    models = _model(table, source, first, units.of)
    lengths = _prompt_tokens(table, source, parts[:, PARTS.index("failure")] > 0, units.of)
    tasks = tuple(TaskFeatures(model_name=m, prompt_tokens=p) for m, p in zip(models, lengths, strict=True))
    lattice = _lattice(tuple(axis for axis, _ in grid), n_units=len(units.task))
    return Recording(
        lattice=lattice,
        names=units.names,
        task=units.task,
        cluster=units.cluster,
        tasks=tasks,
        spec=_spec(tasks),
        unit=units.of,
        action=lattice.encode(np.stack([place for _, place in grid], axis=1)),
        parts=parts,
        propensity=_propensity(table, source),
        notes=(*notes, *units.notes, *_filled(grid, source), *_remarks(source, parts)),
    )
