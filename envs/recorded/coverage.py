"""What a record can answer for: the cells it has, the actions it covers, where to start.

An action counts as recorded for a task type only if every problem of the type has it: a mean
over other problems at every action would compare problems, not actions. So a hole costs either
the action or the problem; which one is the user's choice, and both are counted.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MODEL, Lattice
from envs.recorded.recording import Recording
from envs.targets import refuse

__all__ = ["Cells", "complete", "covered", "home_action", "like_with_like", "shown"]

Bools = NDArray[np.bool_]
SHOWN = 8  # actions that a refusal lists


class Cells(NamedTuple):
    """What was recorded, and what is not used: a remark."""

    recorded: Bools  # (tasks, actions) by every problem of the task type
    order: NDArray[np.int64]  # (kept rows,) in the order of units and actions
    notes: tuple[str, ...]


def shown(lattice: Lattice, action: int) -> str:
    """The parameters of an action that vary, in words.

    >>> from envs.lattice import Axis
    >>> shown(Lattice((Axis("temperature", ("0", "0.5")), Axis("top_p", ("1",)), Axis("model", ("a", "b")))), 3)
    'temperature 0.5, model b'
    """
    varied = [axis.name for axis in lattice.axes if len(axis.values) > 1] or ["temperature"]
    values = lattice.parameters(action)
    return ", ".join(f"{name} {values[name]:g}" if name != MODEL else f"{name} {values[name]}" for name in varied)


def _lacking(record: Recording, seen: NDArray[np.int64], n_units: NDArray[np.int64], *, is_grouped: bool) -> str:
    """What the first task type without any action lacks, and what may help."""
    task = int(np.argmin((seen == n_units[:, None]).any(axis=1)))
    best, mine = int(np.argmax(seen[task])), record.task[record.unit] == task
    unit = "group" if is_grouped else "problem"
    mend = "leave out problems that lack little (world.skip_bad=true), or pool them at random (world.groups=20)"
    mend = "set fewer world.groups (4 at least)" if is_grouped else mend
    return (
        f"parameters at which every {unit} of a task type was recorded; those best covered of {record.names[task]!r} "
        f"({shown(record.lattice, best)}) have {seen[task, best]} of {n_units[task]} {unit}s, "
        f"{int(np.sum(mine & (record.action == best)))} of {int(mine.sum())} rows; {mend}, narrow world.where, "
        "or record more"
    )


def _has(record: Recording) -> tuple[Bools, NDArray[np.int64], NDArray[np.int64]]:
    """(n, actions) who was recorded where, (tasks, actions) how many of a task type, (tasks,) of how many."""
    has = np.zeros((len(record.task), record.lattice.size), np.bool_)
    has[record.unit, record.action] = True
    n_units = np.bincount(record.task, minlength=len(record.names))
    return has, np.add.reduceat(has, np.cumsum(n_units) - n_units, axis=0, dtype=np.int64), n_units


def complete(record: Recording, *, tolerance: float) -> Recording:
    """The record without the problems that lack what nearly all others of their task type have.

    Args:
        record: the rows.
        tolerance: an action that at most this share of a task type's problems lack is kept, and they go.

    Returns:
        The record, with a remark if problems were left out; as it was if none would be left.
    """
    has, seen, n_units = _has(record)
    nearly = (seen > 0) & (seen >= np.ceil((1.0 - tolerance) * n_units)[:, None])
    stays = (has | ~nearly[record.task]).all(axis=1)
    if stays.all() or not np.bincount(record.task[stays], minlength=len(record.names)).all():
        return record
    rows, n_left = stays[record.unit], int(np.sum(~stays))
    note = (
        f"{n_left} of {len(stays)} units ({100 * n_left / len(stays):.3g} %) lack an action that all but "
        f"{100 * tolerance:.3g} % of their task type have, and were left out with their {int(np.sum(~rows))} rows "
        "(world.skip_bad)."
    )
    return record._replace(
        task=record.task[stays],
        cluster=np.unique(record.cluster[stays], return_inverse=True)[1].reshape(-1).astype(np.int32),
        tasks=tuple(task for task, is_kept in zip(record.tasks, stays, strict=True) if is_kept),
        unit=(np.cumsum(stays) - 1)[record.unit[rows]],
        action=record.action[rows],
        parts=record.parts[rows],
        propensity=record.propensity[rows],
        notes=(*record.notes, note),
    )


def covered(record: Recording, path: str, *, is_grouped: bool) -> Cells:
    """The pairs of task type and action that every problem, or group of problems, was recorded at.

    Args:
        record: the rows.
        path: of the table, for a refusal.
        is_grouped: whether units are groups of problems, for words.

    Raises:
        ConfigError: a task type without any (what is lacking is said).
    """
    _, seen, n_units = _has(record)
    recorded = seen == n_units[:, None]
    if not recorded.any(axis=1).all():
        raise refuse("world.path", path, _lacking(record, seen, n_units, is_grouped=is_grouped))
    kept = np.flatnonzero(recorded[record.task[record.unit], record.action])
    order = kept[np.lexsort((record.action[kept], record.unit[kept]))]
    n_partial, n_rows, n_left = int(np.sum((seen > 0) & ~recorded)), len(record.unit), len(record.unit) - len(kept)
    note = (
        f"{n_partial} pairs of task type and action lack some {'groups' if is_grouped else 'problems'} and count as "
        f"never recorded ({n_left} of {n_rows} rows, {100 * n_left / n_rows:.3g} %)."
    )
    return Cells(recorded, order, (note,) if n_partial else ())


def like_with_like(record: Recording, cells: Cells) -> str:
    """In words, whether the problems that pooled actions were recorded for can be compared.

    An action logged with one probability throughout a task type was chosen without regard to the
    problem, as in an experiment. Where probabilities differ, the mean of an action is that of the
    problems it was chosen for, and the pooled record does not know what it would have been for the others.
    """
    chance = record.propensity[cells.order]
    if np.isnan(chance).any():
        return (
            "An action's answers are those to the problems it was recorded for; without propensities "
            "(world.columns.propensity) nobody can tell whether actions are compared like with like."
        )
    pair = record.task[record.unit[cells.order]].astype(np.int64) * record.lattice.size + record.action[cells.order]
    order = np.lexsort((chance, pair))
    first = np.flatnonzero(np.diff(pair[order], prepend=-1))
    low, high = chance[order][first], chance[order][np.append(first[1:], len(order)) - 1]
    varied = high > low * (1.0 + 1e-9)
    if not varied.any():
        return (
            "Every action was logged with one propensity throughout a task type: chosen without regard to the problem, "
            "so actions are compared like with like."
        )
    typical = float(np.median(high[varied] / np.maximum(low[varied], 1e-12)))
    return (
        f"Of {len(first)} pairs of task type and action {int(varied.sum())} were logged with propensities that differ, "
        f"by a factor of {typical:.3g} in the median one: the policy chose by context, or learned, so actions were "
        "recorded for different problems and their means do not compare like with like."
    )


def _fitting(record: Recording, named: Mapping[str, str], answered: Bools) -> NDArray[np.int64]:
    """Among the actions that have these values and answer for all task types, those recorded most often."""
    lattice, fits = record.lattice, np.asarray(answered.all(axis=0), np.bool_)
    grid = lattice.decode(np.arange(lattice.size, dtype=np.int32))
    corner = {axis.name: axis.values[0] for axis in lattice.axes}
    for place, axis in enumerate(lattice.axes):
        if named[axis.name]:
            there = lattice.action_id(corner | {axis.name: named[axis.name]})
            fits = fits & (grid[:, place] == grid[there, place])
    times = np.where(fits, np.bincount(record.action, minlength=len(fits)), -1)
    return np.flatnonzero(fits & (times == times.max()))


def home_action(record: Recording, named: Mapping[str, str], *, answered: Bools) -> int:
    """The baseline's action id: on the grid, and answered for every task type.

    Args:
        record: the rows.
        named: axis -> value; an empty one means: as recorded most often.
        answered: (tasks, actions) recorded or interpolated.

    Raises:
        ConfigError: values off the grid, not answered for, or several recorded equally often.
    """
    lattice = record.lattice
    single = {axis.name: axis.values[0] for axis in lattice.axes if len(axis.values) == 1}
    given = {axis.name: named[axis.name] or single.get(axis.name, "") for axis in lattice.axes}
    told = {name: value for name, value in given.items() if value}
    try:
        homes = _fitting(record, given, answered)
    except ValueError as error:
        raise refuse("world.baseline", told, f"recorded parameters ({error})") from error
    if homes.size > 1:
        unnamed = ", ".join(f"world.baseline.{name}" for name in given if name not in told)
        several = "; ".join(shown(lattice, int(home)) for home in homes[: 2 * SHOWN])
        raise refuse(unnamed, "", f"values of one of these, recorded equally often: {several}")
    if not homes.size:
        raise refuse("world.baseline", told, _unanswered(record, told, answered))
    return int(homes[0])


def _unanswered(record: Recording, told: Mapping[str, str], answered: Bools) -> str:
    """Which task type lacks a baseline, and which parameters would do."""
    lacks = ""
    if len(told) == len(record.lattice.axes):
        seen = answered[:, record.lattice.action_id(told)]
        lacks = f", task type {record.names[int(np.argmin(seen))]!r} lacks them"
    common = [shown(record.lattice, int(action)) for action in np.flatnonzero(answered.all(axis=0))[:SHOWN]]
    return (
        f"parameters recorded for every problem of every task type{lacks}; those recorded for all: "
        f"{'; '.join(common) or 'none'}; or narrow world.where"
    )
