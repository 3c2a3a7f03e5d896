"""Between recorded settings: an even grid, answered by straight lines from neighbour to neighbour, or not at all.

An action between two recorded ones answers with an answer of one of them, drawn with the
linear weights, so its expectation is exactly the linear interpolation of their means. Along
two axes the weights are products (bilinear). Nothing is extrapolated, and a hole in the
recorded grid stays a hole: an action is answered only if all its corners were recorded. How
far reality lies from the straight line is not known, and in no standard error. A gap that is only
filled in (`without_gaps`) gives the grid even steps and answers nothing.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import AXES, MAX_ACTIONS, Lattice
from envs.recorded.bad_rows import decimal_of
from envs.targets import nearest, refuse

__all__ = ["MAX_AXES", "Corners", "check_steps", "corners", "even_grid", "inner", "without_gaps"]

MAX_AXES = 2
MAX_FILLED = 256  # values of an axis whose gaps are filled
Ints = NDArray[np.int32]


class Corners(NamedTuple):
    """(tasks, actions, c) each: who answers for an action.

    A recorded action is its own corner with weight 1, and so is one that nobody can answer for.
    """

    action: Ints
    weight: NDArray[np.float64]  # sums to 1
    upto: NDArray[np.float64]  # cumulative weight; 1 from the last corner of weight > 0 on


class Inner(NamedTuple):
    """(m,) each: a recorded action, its recorded neighbours along one axis, the weight of the upper one."""

    action: Ints
    low: Ints
    high: Ints
    weight: NDArray[np.float64]


def check_steps(steps: Mapping[str, str], columns: Mapping[str, str | None]) -> None:
    """Refuse steps that no axis can take.

    Args:
        steps: axis -> step.
        columns: axis -> recorded column, None where there is none.

    Raises:
        ConfigError: an unknown axis, one without a column, more than two, or a step <= 0.
    """
    for name, step in steps.items():
        where = f"world.interpolate.{name}"
        if name not in AXES:
            raise refuse(where, step, f"an axis of numbers: {', '.join(AXES)}{nearest(name, AXES)}")
        if columns[name] is None:
            raise refuse(where, step, f"an axis with a column: set world.columns.{name}=NAME")
        exact = decimal_of(str(step))
        if exact is None or exact <= 0 or (name == "max_tokens" and exact != int(exact)):
            need = "a whole number > 0" if name == "max_tokens" else "a decimal number > 0, such as '0.1'"
            raise refuse(where, step, need)
    if len(steps) > MAX_AXES:
        raise refuse("world.interpolate", list(steps), f"at most {MAX_AXES} axes")


def even_grid(name: str, recorded: Sequence[Decimal], step: str) -> list[Decimal]:
    """The values from the lowest to the highest recorded one, `step` apart.

    Args:
        name: of the axis.
        recorded: its values, ascending.
        step: checked by `check_steps`.

    Raises:
        ConfigError: fewer than two recorded values, one that the grid misses (a step that meets
            all is named), or too many values.

    >>> [str(v) for v in even_grid("temperature", [Decimal("0"), Decimal("0.2"), Decimal("0.5")], "0.1")]
    ['0.0', '0.1', '0.2', '0.3', '0.4', '0.5']
    """
    where, width = f"world.interpolate.{name}", Decimal(step)
    gaps = [b - a for a, b in zip(recorded, recorded[1:], strict=False)]
    if not gaps:
        raise refuse(where, step, f"an axis recorded at two values or more; it has {recorded[0]} only")
    if any(gap % width for gap in gaps):
        scale = Decimal(10) ** -min(int(gap.normalize().as_tuple().exponent) for gap in gaps)
        fits = Decimal(math.gcd(*(int(gap * scale) for gap in gaps))) / scale
        shown = ", ".join(f"{v.normalize():f}" for v in recorded[:12]) + (", ..." if len(recorded) > 12 else "")
        raise refuse(where, step, f"a step that meets every recorded value ({shown}); {fits.normalize():f} does")
    count = int((recorded[-1] - recorded[0]) / width) + 1
    if count > MAX_ACTIONS:
        raise refuse(where, step, f"a step that gives at most {MAX_ACTIONS} values; this one gives {count}")
    return [recorded[0] + width * i for i in range(count)]


def without_gaps(recorded: Sequence[Decimal]) -> list[Decimal]:
    """The recorded values, and those missing on the even grid they lie on; where there is none, as they are.

    Args:
        recorded: values of an axis, ascending. The grid's step is their smallest gap, and it has at most 256 values.

    >>> [str(v) for v in without_gaps([Decimal("0.6"), Decimal("0.8"), Decimal("0.9")])]
    ['0.6', '0.7', '0.8', '0.9']
    >>> [str(v) for v in without_gaps([Decimal("0"), Decimal("0.2"), Decimal("0.5")])]
    ['0', '0.2', '0.5']
    """
    gaps = [b - a for a, b in zip(recorded, recorded[1:], strict=False)]
    if not gaps:
        return list(recorded)
    width, span = min(gaps), recorded[-1] - recorded[0]
    if span / width >= MAX_FILLED or any(gap % width for gap in gaps):
        return list(recorded)
    return [recorded[0] + width * i for i in range(int(span / width) + 1)]


def _brackets(places: NDArray[np.integer], levels: NDArray[np.integer]) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """(m,) recorded neighbour below, above (-1: none) and the weight of the one above."""
    at = np.searchsorted(levels, places, side="right") - 1
    low = np.where(at >= 0, levels[np.maximum(at, 0)], -1)
    after = np.minimum(at + 1, len(levels) - 1)
    high = np.where(low == places, low, np.where(at + 1 < len(levels), levels[after], -1))
    gap = np.where(high > low, high - low, 1)
    return low.astype(np.int32), high.astype(np.int32), np.where(high > low, (places - low) / gap, 0.0)


def _slice(points: Ints, seen: NDArray[np.bool_], along: list[int]) -> tuple[Ints, NDArray[np.float64]]:
    """Corner coordinates (m, c, axes) and weights (m, c) of points (m, axes) that differ along these axes only.

    A point without a neighbour on some side has a coordinate of -1.
    """
    sides = [_brackets(points[:, axis], np.unique(points[seen, axis])) for axis in along]
    coords, weights = [], []
    for choice in product((0, 1), repeat=len(along)):
        corner, weight = points.copy(), np.ones(len(points))
        for axis, side, (low, high, share) in zip(along, choice, sides, strict=True):
            corner[:, axis] = (low, high)[side]
            weight = weight * (share if side else 1.0 - share)
        coords.append(corner)
        weights.append(weight)
    return np.stack(coords, axis=1), np.stack(weights, axis=1)


def corners(lattice: Lattice, recorded: NDArray[np.bool_], *, along: Sequence[str] = ()) -> Corners:
    """Who answers for every action of every task type.

    Args:
        lattice: even along the interpolated axes.
        recorded: (tasks, actions).
        along: the interpolated axes, at most two; none: every action for itself.

    >>> from envs.lattice import Axis
    >>> line = Lattice((Axis("temperature", ("0", "0.5", "1", "1.5")),))
    >>> got = corners(line, np.array([[True, False, True, False]]), along=["temperature"])
    >>> got.action.tolist(), got.weight.tolist()
    ([[[0, 0], [0, 2], [2, 2], [3, 3]]], [[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]]])
    """
    axes = [[axis.name for axis in lattice.axes].index(name) for name in along]
    n_corners, (n_tasks, size) = 2 ** len(axes), recorded.shape
    grid = lattice.decode(np.arange(size, dtype=np.int32))
    action = np.broadcast_to(np.arange(size, dtype=np.int32)[:, None], (n_tasks, size, n_corners)).copy()
    weight = np.zeros(action.shape)
    weight[..., 0] = 1.0
    fixed = grid.copy()
    fixed[:, axes] = 0
    key = lattice.encode(fixed)
    order = np.argsort(key, kind="stable")
    lines = np.split(order, np.flatnonzero(np.diff(key[order])) + 1) if axes else []
    for task, members in product(range(n_tasks), lines):
        seen = recorded[task, members]
        if seen.any():
            coords, weights = _slice(grid[members], seen, axes)
            ids = lattice.encode(np.maximum(coords, 0))
            answered = recorded[task][ids].all(axis=1) & (coords >= 0).all(axis=(1, 2))
            action[task, members[answered]] = ids[answered]
            weight[task, members[answered]] = weights[answered]
    upto = np.cumsum(weight, axis=-1)
    last = n_corners - 1 - np.argmax(weight[..., ::-1] > 0, axis=-1)
    return Corners(action, weight, np.where(np.arange(n_corners) >= last[..., None], 1.0, upto))


def inner(lattice: Lattice, recorded: NDArray[np.bool_], axis: str) -> Inner:
    """The recorded actions (actions,) that lie between two others along an axis, all other axes equal.

    >>> from envs.lattice import Axis
    >>> line = Lattice((Axis("temperature", ("0", "0.5", "1", "1.5")),))
    >>> [part.tolist() for part in inner(line, np.array([True, True, False, True]), "temperature")]
    [[1], [0], [3], [0.3333333333333333]]
    """
    place = [a.name for a in lattice.axes].index(axis)
    ids = np.flatnonzero(recorded).astype(np.int32)
    grid = lattice.decode(ids)
    level, rest = grid[:, place].copy(), grid
    rest[:, place] = 0
    line = lattice.encode(rest)
    order = np.lexsort((level, line))
    ids, level, line = ids[order], level[order], line[order]
    if len(ids) < 3:
        return Inner(ids[:0], ids[:0], ids[:0], np.zeros(0))
    among = np.flatnonzero(line[2:] == line[:-2])
    weight = (level[among + 1] - level[among]) / (level[among + 2] - level[among])
    return Inner(ids[among + 1], ids[among], ids[among + 2], weight)
