"""What a peer searches: the legal lattice as a unit cube with a choice of model, and the snap back to it.

Places are linear in a parameter's value, but for `max_tokens`, whose place is linear in its
logarithm. Hard limits make the cube; there is no trust region, an advantage that peers are granted.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MODEL, Lattice

__all__ = ["Point", "Space", "space_of"]

Floats = NDArray[np.float64]
LOGARITHMIC = ("max_tokens",)


class Point(NamedTuple):
    """What a peer proposes: (d,) places in 0..1 along the free numeric axes, and a model's number."""

    places: Floats
    model: int


@dataclass(frozen=True)
class Space:
    """The legal actions of one task type, as a peer sees them.

    Attributes:
        axes: (d,) names of the numeric axes that have more than one legal value.
        models: the legal models, () where there is nothing to choose.
        ids: (n,) legal action ids, ascending.
        places: (n, d) their places.
        model: (n,) their models' numbers, 0 where there is nothing to choose.
        start: what production runs, a legal action.
    """

    axes: tuple[str, ...]
    models: tuple[str, ...]
    ids: NDArray[np.int32]
    places: Floats
    model: NDArray[np.int32]
    start: int

    def snap(self, point: Point) -> int:
        """The id of the nearest legal action of the point's model; ties go to the lowest id."""
        gap = np.square(self.places - point.places).sum(axis=1)
        return int(self.ids[np.where(self.model == point.model, gap, np.inf).argmin()])

    def rows(self, action_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """(m,) rows of legal actions in `ids`."""
        return np.searchsorted(self.ids, action_ids)

    def point(self, action_id: int) -> Point:
        """Where a legal action lies."""
        row = int(np.searchsorted(self.ids, action_id))
        return Point(self.places[row], int(self.model[row]))


def space_of(lattice: Lattice, allowed: NDArray[np.bool_], start: int) -> Space:
    """The search space of one task type.

    Args:
        lattice: all actions.
        allowed: (actions,) which of them meet the hard limits and can be answered.
        start: id of the start.

    Raises:
        ValueError: a start that is not allowed.
    """
    if not allowed[start]:
        raise ValueError(f"the start, action {start}, is not among the {int(allowed.sum())} legal actions")
    ids = np.flatnonzero(allowed).astype(np.int32)
    grid = lattice.decode(ids)
    names, columns = [], []
    for number, axis in enumerate(lattice.axes):
        if axis.name != MODEL and np.ptp(grid[:, number]):
            names.append(axis.name)
            columns.append(_places(axis.name, lattice.values(axis.name)[grid[:, number]]))
    held, model = np.unique(grid[:, -1], return_inverse=True)
    models = tuple(lattice.axes[-1].values[i] for i in held) if len(held) > 1 else ()
    places = np.stack(columns, axis=1) if columns else np.zeros((len(ids), 0))
    return Space(tuple(names), models, ids, places, model.astype(np.int32), int(start))


def _places(name: str, values: Floats) -> Floats:
    """Values of one axis as places between the lowest and the highest."""
    scaled = np.log(np.maximum(values, 1.0)) if name in LOGARITHMIC else values
    return np.asarray((scaled - scaled.min()) / np.ptp(scaled))
