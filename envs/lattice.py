"""The lattice of generation parameters: every action there is, each with a stable id.

An action is a point of an absolute grid: one integer coordinate per parameter axis. Grid
values are decimal strings, so limits and trust-region radii become integers once and
exactly (0.9 - 0.7 > 0.2 in floats). Ids count in row-major order, last axis fastest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace

__all__ = ["AXES", "MODEL", "Axis", "AxisRange", "Lattice", "LatticeRanges", "coordinates", "parse_decimal", "places"]

Ints = NDArray[np.int32]
AXES = ("temperature", "max_tokens", "top_p", "frequency_penalty", "presence_penalty")
MODEL = "model"  # the one axis whose values are names, in the order they were listed
MAX_ACTIONS = 1 << 20


@dataclass(frozen=True)
class AxisRange:
    """One parameter axis in a config: decimal strings `start`, `start + step`, ..., `stop`."""

    start: str = "0"
    stop: str = "0"
    step: str = "1"


@dataclass(frozen=True)
class LatticeRanges:
    """The five axes of the mission; an axis whose start equals its stop has one value."""

    temperature: AxisRange = field(default_factory=AxisRange)
    max_tokens: AxisRange = field(default_factory=lambda: AxisRange("512", "512"))
    top_p: AxisRange = field(default_factory=lambda: AxisRange("1", "1"))
    frequency_penalty: AxisRange = field(default_factory=AxisRange)
    presence_penalty: AxisRange = field(default_factory=AxisRange)


class Axis(NamedTuple):
    """One parameter: its name and the decimal strings it may take, ascending; of `model`, names."""

    name: str
    values: tuple[str, ...]


def places(axis: Axis) -> tuple[Decimal, ...]:
    """The values of an axis as numbers, ascending; of `model`, their places from 0.

    >>> places(Axis("model", ("small", "large"))), places(Axis("top_p", ("0.9",)))
    ((Decimal('0'), Decimal('1')), (Decimal('0.9'),))
    """
    if axis.name == MODEL:
        return tuple(Decimal(i) for i in range(len(axis.values)))
    return tuple(parse_decimal(value, f"lattice.{axis.name}") for value in axis.values)


def parse_decimal(text: object, where: str) -> Decimal:
    """A finite decimal number from text.

    Args:
        text: what a config or a caller gave.
        where: its dotted name, for the message.

    Raises:
        ValueError: not a number, NaN or infinite.
    """
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"{where} = {text!r}, need a decimal number such as '0.7'") from None
    if not number.is_finite():
        raise ValueError(f"{where} = {text!r}, need a finite decimal number")
    return number


def _axis(name: str, bounds: AxisRange) -> Axis:
    start, stop, step = (
        parse_decimal(getattr(bounds, part), f"lattice.{name}.{part}") for part in ("start", "stop", "step")
    )
    if step <= 0 or stop < start or (stop - start) % step:
        raise ValueError(
            f"lattice.{name}: start {start}, stop {stop}, step {step}; need step > 0 and a stop "
            "that lies a whole number of steps above start"
        )
    count = int((stop - start) / step) + 1
    if count > MAX_ACTIONS:
        raise ValueError(f"lattice.{name} has {count} values, need at most {MAX_ACTIONS}")
    return Axis(name, tuple(str(start + step * i) for i in range(count)))


def coordinates(shape: tuple[int, ...], action_ids: Array) -> Array:
    """Lattice coordinates of ids, in the array library of `action_ids`.

    Args:
        shape: the lattice's number of values per axis.
        action_ids: (m,) ids, each in [0, prod(shape)).

    Returns:
        (m, axes) coordinates of the same integer type.

    >>> coordinates((3, 2), np.array([0, 3, 5])).tolist()
    [[0, 0], [1, 1], [2, 1]]
    """
    xp, rest, columns = namespace(action_ids), action_ids, []
    for size in reversed(shape):
        columns.append(rest % size)
        rest = rest // size
    return xp.stack(columns[::-1], axis=-1)


@dataclass(frozen=True)
class Lattice:
    """All actions: the product of the axes' values.

    Raises:
        ValueError: an axis is empty, unsorted, repeated, or the product exceeds 2^20 actions.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        """Refuse axes that would give two ids to one action, or no action at all."""
        for axis in self.axes:
            numbers = places(axis)
            if axis.name == MODEL and len(set(axis.values)) < len(axis.values):
                raise ValueError(f"axis {axis.name} = {axis.values}, need distinct names")
            if not numbers or any(b <= a for a, b in zip(numbers, numbers[1:], strict=False)):
                raise ValueError(f"axis {axis.name} = {axis.values}, need distinct ascending values")
        if self.size > MAX_ACTIONS:
            raise ValueError(f"the lattice has {self.size} actions, need at most {MAX_ACTIONS}")

    @classmethod
    def from_ranges(cls, ranges: LatticeRanges, *, models: Sequence[str] = ("",)) -> "Lattice":
        """The lattice of a config, and of the models it may move to; "" is the one model nobody chooses.

        >>> grid = Lattice.from_ranges(LatticeRanges(temperature=AxisRange("0", "1", "0.1")))
        >>> grid.size, grid.parameters(7)["temperature"]
        (11, 0.7)
        """
        return cls((*(_axis(name, getattr(ranges, name)) for name in AXES), Axis(MODEL, tuple(models))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values per axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of actions."""
        product = 1
        for axis in self.axes:
            product *= len(axis.values)
        return product

    def values(self, name: str) -> NDArray[np.float64]:
        """The numeric values of one axis, ascending, in the axis's own unit; of `model`, their places."""
        axis = next(a for a in self.axes if a.name == name)
        return np.array([float(v) for v in places(axis)])

    def decode(self, action_ids: Array) -> Ints:
        """Coordinates (m, axes) of ids (m,).

        Raises:
            ValueError: an id lies outside the grid.
        """
        ids = np.asarray(action_ids)
        bad = np.flatnonzero((ids < 0) | (ids >= self.size))
        if bad.size:
            raise ValueError(
                f"action id {ids[bad[0]]} at position {bad[0]} lies outside the grid, need 0 <= id < {self.size}"
            )
        return np.asarray(coordinates(self.shape, ids.astype(np.int32)), np.int32)

    def encode(self, coords: Array) -> Ints:
        """Ids (m,) of coordinates (m, axes) that lie on the grid."""
        ids = np.zeros(np.shape(coords)[:-1], np.int32)
        for column, size in enumerate(self.shape):
            ids = ids * np.int32(size) + np.asarray(coords)[..., column].astype(np.int32)
        return ids

    def parameters(self, action_id: int) -> dict[str, float | int | str]:
        """The generation parameters of one action, under their names; the model where it was chosen.

        Raises:
            ValueError: the id lies outside the grid.
        """
        point = self.decode(np.array([action_id]))[0]
        named = {axis.name: axis.values[c] for axis, c in zip(self.axes, point, strict=True)}
        return {name: _as_sent(name, value) for name, value in named.items() if value}

    def action_id(self, parameters: Mapping[str, object]) -> int:
        """The id of a point that lies exactly on the grid; axes with one value may be left out.

        Raises:
            ValueError: an unknown or missing parameter, or a point off the grid (the message
                names the nearest value).
        """
        unknown = sorted(set(parameters) - {axis.name for axis in self.axes})
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}, need some of {[a.name for a in self.axes]}")
        point = [_position(axis, parameters) for axis in self.axes]
        return int(self.encode(np.array([point]))[0])


def _as_sent(name: str, value: str) -> float | int | str:
    if name == MODEL:
        return value
    return int(Decimal(value)) if name == "max_tokens" else float(value)


def _position(axis: Axis, parameters: Mapping[str, object]) -> int:
    if axis.name not in parameters:
        if len(axis.values) > 1:
            raise ValueError(f"parameter {axis.name!r} is missing, the grid has {len(axis.values)} values for it")
        return 0
    if axis.name == MODEL:
        wanted_name = str(parameters[axis.name])
        if wanted_name not in axis.values:
            listed = ", ".join(value for value in axis.values if value)
            need = f"one of {listed}" if listed else "none, no models are listed"
            raise ValueError(f"model = {wanted_name!r}, need {need}")
        return axis.values.index(wanted_name)
    wanted = parse_decimal(parameters[axis.name], axis.name)
    gaps = [abs(v - wanted) for v in places(axis)]
    nearest = gaps.index(min(gaps))
    if gaps[nearest]:
        raise ValueError(
            f"{axis.name} = {wanted} is not on the grid, the nearest value is {axis.values[nearest]} "
            f"(grid {axis.values[0]} to {axis.values[-1]}, {len(axis.values)} values)"
        )
    return nearest
