"""Hard limits and trust region: which actions of a window are allowed, and why the others are not.

Limits and radii become lattice integers once, from decimal strings. A window is sized by
the largest radius of the spec; the traced radius of the bounds can only narrow it. Where the
token step is relative, slots lie further apart around large caps, so that the window keeps
its size: their distance is a table over the axis's values, its stride.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from functools import cache
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace
from envs.lattice import MODEL, Axis, Lattice, coordinates, parse_decimal, places
from envs.targets import nearest, refuse
from policies.base import MAX_WINDOW, Spec, Window

__all__ = [
    "Bounds",
    "Limits",
    "Params",
    "Radius",
    "Reason",
    "bounds",
    "legal",
    "offsets",
    "start",
    "stride_at",
    "window",
]


class Reason(IntEnum):
    """Why a slot of a window is excluded; 0 where it is not."""

    FEASIBLE = 0
    OUTSIDE_LATTICE = 1
    HARD_LIMIT = 2
    TRUST_REGION = 3
    UNRECORDED = 4


@dataclass(frozen=True)
class Limits:
    """Lowest and highest value allowed, as decimal strings; empty for the lattice's own end."""

    lowest: str = ""
    highest: str = ""


@dataclass(frozen=True)
class Radius:
    """Largest change from the last approved parameters per axis; empty: one lattice step.

    `max_tokens_share`: where this share of the approved max_tokens is more, the region reaches that far,
    as a decimal string; empty: off.
    """

    temperature: str = "0.2"  # mission: trust region
    max_tokens: str = "200"  # mission: trust region
    max_tokens_share: str = ""
    top_p: str = ""
    frequency_penalty: str = ""
    presence_penalty: str = ""
    model: str = ""  # places in the world's list of models


@dataclass(frozen=True)
class Params:
    """The mission's bounds on generation parameters."""

    temperature: Limits = field(default_factory=Limits)
    max_tokens: Limits = field(default_factory=Limits)
    top_p: Limits = field(default_factory=Limits)
    frequency_penalty: Limits = field(default_factory=Limits)
    presence_penalty: Limits = field(default_factory=Limits)
    model: Limits = field(default_factory=Limits)  # the first and the last of the world's list that are allowed
    radius: Radius = field(default_factory=Radius)


class Bounds(NamedTuple):
    """`Params` as lattice integers: (axes,) lowest, highest, radius in slots; (tasks, actions) recorded.

    `stride`: (axes, longest axis) lattice steps from slot to slot around each coordinate, 1 past an axis's end.
    """

    lowest: Array
    highest: Array
    radius: Array
    recorded: Array
    stride: Array


def _reach(axis: Axis, radius: str) -> int:
    """Lattice steps that stay within a radius, for the closest pair of values."""
    if len(axis.values) == 1:
        return 0
    if not radius:
        return 1
    limit = parse_decimal(radius, f"constraints.radius.{axis.name}")
    if limit < 0:
        raise ValueError(f"constraints.radius.{axis.name} = {radius}, need a number >= 0")
    return int(limit // _step(axis))


def _step(axis: Axis) -> Decimal:
    """The even step between an axis's values."""
    numbers = places(axis)
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if len(steps) > 1:
        raise ValueError(
            f"axis {axis.name} has uneven steps {sorted(steps)}, a radius needs even ones; "
            f"a recorded world: world.fill_gaps=true or world.interpolate.{axis.name}=STEP"
        )
    return steps.pop()


def _strides(axis: Axis, params: Radius) -> list[int]:
    """Per value of an axis, lattice steps from slot to slot of the window around it."""
    text, slots = params.max_tokens_share, _reach(axis, getattr(params, axis.name))
    if axis.name != "max_tokens" or not text or len(axis.values) == 1:
        return [1] * len(axis.values)
    share = parse_decimal(text, "constraints.radius.max_tokens_share")
    if not 0 < share <= 1:
        raise refuse("constraints.radius.max_tokens_share", text, "a share, 0 < share <= 1, or nothing")
    if slots == 0:
        need = f"at least one lattice step, {_step(axis)}, where max_tokens_share = {text}"
        raise refuse("constraints.radius.max_tokens", params.max_tokens, need)
    return [max(1, int(share * value // _step(axis)) // slots) for value in places(axis)]


def offsets(lattice: Lattice, params: Params) -> tuple[tuple[int, ...], ...]:
    """Window slots as coordinate offsets, in ascending id.

    Raises:
        ValueError: more than 256 slots, or a negative radius.
    """
    reach = [_reach(axis, getattr(params.radius, axis.name)) for axis in lattice.axes]
    count = int(np.prod([2 * r + 1 for r in reach]))
    if count > MAX_WINDOW:
        raise ValueError(
            f"the window has {count} slots ({dict(zip([a.name for a in lattice.axes], reach, strict=True))} "
            f"lattice steps each way), need at most {MAX_WINDOW}; widen the lattice's steps or narrow a radius"
        )
    return tuple(product(*[range(-r, r + 1) for r in reach]))


def _end(axis: Axis, text: str, which: str) -> Decimal:
    """One hard limit as a number; of the model, its place among those listed."""
    if axis.name != MODEL:
        return parse_decimal(text, f"constraints.{axis.name}.{which}")
    if text not in axis.values:
        need = f"one of {', '.join(axis.values)}{nearest(text, axis.values)}"
        raise refuse(f"constraints.{axis.name}.{which}", text, need)
    return Decimal(axis.values.index(text))


def _edge(axis: Axis, limits: Limits) -> tuple[int, int]:
    numbers = places(axis)
    low = _end(axis, limits.lowest, "lowest") if limits.lowest else numbers[0]
    high = _end(axis, limits.highest, "highest") if limits.highest else numbers[-1]
    inside = [i for i, v in enumerate(numbers) if low <= v <= high]
    if not inside:
        raise ValueError(
            f"constraints.{axis.name} allows [{low}, {high}], which holds none of the lattice's values "
            f"{axis.values[0]} .. {axis.values[-1]}; no action would be left"
        )
    return inside[0], inside[-1]


def bounds(lattice: Lattice, params: Params, *, recorded: NDArray[np.bool_]) -> Bounds:
    """The bounds of a lattice, as integers.

    Args:
        lattice: the actions.
        params: limits and radii.
        recorded: (tasks, actions) False where the world can't answer.

    Raises:
        ValueError: limits that exclude every action, or a relative step that no window can hold.
    """
    edges = np.array([_edge(axis, getattr(params, axis.name)) for axis in lattice.axes], np.int32)
    radius = [_reach(axis, getattr(params.radius, axis.name)) for axis in lattice.axes]
    stride = np.ones((len(radius), max(lattice.shape)), np.int32)
    for row, axis in zip(stride, lattice.axes, strict=True):
        row[: len(axis.values)] = _strides(axis, params.radius)
    return Bounds(edges[:, 0], edges[:, 1], np.array(radius, np.int32), recorded, stride)


def stride_at(limits: Bounds, coordinate: Array) -> Array:
    """(axes,) lattice steps from slot to slot of the window around a coordinate (axes,)."""
    xp = namespace(limits.stride)
    axes, longest = limits.stride.shape
    first = xp.asarray(np.arange(0, axes * longest, longest, dtype=np.int32))
    return xp.take(xp.reshape(limits.stride, (-1,)), first + coordinate, axis=0)


def legal(lattice: Lattice, limits: Bounds) -> NDArray[np.bool_]:
    """(tasks, actions) whether an action meets the hard limits and was recorded."""
    grid = lattice.decode(np.arange(lattice.size, dtype=np.int32))
    inside = np.all((grid >= limits.lowest) & (grid <= limits.highest), axis=1)
    return np.asarray(inside[None, :] & limits.recorded)


def start(lattice: Lattice, limits: Bounds, baseline: NDArray[np.int32]) -> NDArray[np.int32]:
    """(tasks,) first approved action: the baseline where legal, else the nearest legal action.

    Distance counts lattice steps, largest axis first, ties to the lowest id.

    Raises:
        ValueError: a task type has no legal action.
    """
    allowed, grid = legal(lattice, limits), lattice.decode(np.arange(lattice.size, dtype=np.int32))
    chosen = []
    for task, home in enumerate(baseline):
        if not allowed[task].any():
            raise ValueError(f"no action meets the hard limits for task type {task}; widen constraints")
        gap = np.abs(grid - grid[home])
        steps = np.where(allowed[task], gap.max(axis=1) * 10**4 + gap.sum(axis=1), np.iinfo(np.int64).max)
        chosen.append(int(steps.argmin()))
    return np.array(chosen, np.int32)


class _Block(NamedTuple):
    """A window's slots as NumPy numbers, axes first so that sums over axes are quick.

    Attributes:
        move: (axes, k) coordinate offsets, steps: their sizes.
        size: (axes, 1) values per axis, weight: (axes, 1) ids per step along it.
        is_centre: (k,) boolean, centre: () its slot.
    """

    move: NDArray[np.int32]
    steps: NDArray[np.int32]
    size: NDArray[np.int32]
    weight: NDArray[np.int32]
    is_centre: NDArray[np.bool_]
    centre: np.int32


@cache
def _block(slots: tuple[tuple[int, ...], ...], shape: tuple[int, ...]) -> _Block:
    move = np.ascontiguousarray(np.array(slots, np.int32).T)
    size = np.array(shape, np.int32)[:, None]
    weight = np.array([prod(shape[axis + 1 :]) for axis in range(len(shape))], np.int32)[:, None]
    is_centre = ~np.any(move, axis=0)
    return _Block(move, np.abs(move), size, weight, is_centre, np.int32(np.argmax(is_centre)))


def window(spec: Spec, limits: Bounds, approved: Array, task: Array) -> Window:
    """The window around an approved action, with a reason for every excluded slot.

    If nothing in it is allowed, the centre alone is: the caller's approved action already
    met the hard limits when it was approved.

    Args:
        spec: static facts.
        limits: bounds as lattice integers.
        approved: () id of the last approved action of the task type.
        task: () task type.
    """
    xp, block = namespace(limits.lowest), _block(spec.offsets, spec.shape)
    move, weight = xp.asarray(block.move), xp.asarray(block.weight)
    approved = xp.astype(approved, xp.int32)
    centre = coordinates(spec.shape, xp.reshape(approved, (1,)))[0, :]
    grid = centre[:, None] + move * stride_at(limits, centre)[:, None]
    off = xp.any((grid < 0) | (grid >= xp.asarray(block.size)), axis=0)
    ids = xp.where(off, approved, xp.sum(grid * weight, axis=0, dtype=xp.int32))
    illegal = xp.any((grid < limits.lowest[:, None]) | (grid > limits.highest[:, None]), axis=0)
    far = xp.any(xp.asarray(block.steps) > limits.radius[:, None], axis=0)
    unseen = ~xp.take(limits.recorded[task], ids, axis=0)
    zero = xp.zeros_like(ids)
    reason = xp.where(unseen, zero + int(Reason.UNRECORDED), zero)
    reason = xp.where(far, zero + int(Reason.TRUST_REGION), reason)
    reason = xp.where(illegal, zero + int(Reason.HARD_LIMIT), reason)
    reason = xp.where(off, zero + int(Reason.OUTSIDE_LATTICE), reason)
    allowed = reason == 0
    alone = xp.asarray(block.is_centre) & ~xp.any(allowed)
    return Window(ids, allowed | alone, xp.where(alone, zero, reason), xp.asarray(block.centre))
