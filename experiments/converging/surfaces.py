"""The exact surface of a task type: value of every action in every stretch of time, and what is near the best."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from envs.oracle import type_values
from evaluators.regret import GAP_SHARE, ROUNDING, SPAN_SHARE
from experiments.converging.cases import Named, scenario_of
from policies.constraints import Params as ConstraintParams
from policies.constraints import bounds, legal, start

__all__ = ["Surface", "least_approvals", "reachable", "surfaces_of"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
NEVER = 10**6  # approvals to a place that no radius leads to


class Surface(NamedTuple):
    """One task type of one world, r stretches of time between changes of drift.

    Attributes:
        world: its label; task: the type's name.
        begins: (r,) first evaluation, from 0, of each stretch.
        values: (r, actions) expected reward, averaged over the type's contexts.
        legal: (actions,) what meets the hard limits.
        span: width of the declared range of expected rewards.
        shape: values per axis; radius: (axes,) lattice steps of the trust region.
        axes: per axis, its values in its own unit.
        start: id of the first approved action.
    """

    world: str
    task: str
    begins: tuple[int, ...]
    values: Floats
    legal: Bools
    span: float
    shape: tuple[int, ...]
    radius: tuple[int, ...]
    axes: tuple[Floats, ...]
    start: int

    @property
    def best(self) -> Floats:
        """(r,) oracle."""
        return np.asarray(np.where(self.legal, self.values, -np.inf).max(axis=1))

    @property
    def worst(self) -> Floats:
        """(r,) worst legal value."""
        return np.asarray(np.where(self.legal, self.values, np.inf).min(axis=1))

    @property
    def inside(self) -> Bools:
        """(r, actions) whether an action is within the tolerance of DESIGN section 5."""
        tolerance = np.maximum(GAP_SHARE * (self.best - self.worst), SPAN_SHARE * self.span) + ROUNDING
        return (self.best[:, None] - self.values <= tolerance[:, None]) & self.legal

    def stretch(self, evaluations: int) -> NDArray[np.intp]:
        """(T,) stretch of time of each evaluation."""
        return np.searchsorted(np.array(self.begins), np.arange(evaluations), side="right") - 1

    def at(self, action: Ints) -> Floats:
        """(s, T) value of actions (s, T), each in the stretch of its evaluation."""
        return np.asarray(self.values[self.stretch(action.shape[1])[None, :], action])


def surfaces_of(where: Named, constraints: ConstraintParams, *, evaluations: int) -> list[Surface]:
    """The surfaces of a world, one per task type."""
    scenario = scenario_of(where)
    limits = bounds(scenario.lattice, constraints, recorded=scenario.recorded)
    begins = scenario.regimes(evaluations)
    values = np.stack([type_values(scenario, t=begin) for begin in begins])
    allowed, homes = legal(scenario.lattice, limits), start(scenario.lattice, limits, scenario.baseline)
    axes = tuple(scenario.lattice.values(axis.name) for axis in scenario.lattice.axes)
    return [
        Surface(
            where.label, name, tuple(begins), values[:, k], allowed[k], scenario.reward_span, scenario.lattice.shape,
            tuple(int(r) for r in limits.radius), axes, int(homes[k]),
        )
        for k, name in enumerate(scenario.population.names)
    ]  # fmt: skip


def reachable(surface: Surface) -> Floats:
    """(r, actions) best legal value in the window around each action."""
    held = np.where(surface.legal, surface.values, -np.inf)
    size = tuple(2 * r + 1 for r in surface.radius)
    best = [maximum_filter(v.reshape(surface.shape), size=size, mode="constant", cval=-np.inf).ravel() for v in held]
    return np.stack(best)


def least_approvals(surface: Surface, origin: Ints, stretch: int) -> NDArray[np.int64]:
    """(m,) fewest approvals from each action to the nearest one within tolerance.

    Each approval moves every axis by at most its radius, so it is the largest number of steps
    along any axis; flat ground and doubt cost more.

    Args:
        surface: the world.
        origin: (m,) ids.
        stretch: of time.
    """
    radius = np.array(surface.radius)
    grid = np.stack(np.unravel_index(np.arange(surface.values.shape[1]), surface.shape), axis=1)
    goals = grid[surface.inside[stretch]]
    known = {}
    for one in np.unique(origin):
        gap = np.abs(goals - grid[one])
        steps = np.where(radius > 0, -(-gap // np.maximum(radius, 1)), np.where(gap > 0, NEVER, 0))
        known[int(one)] = int(steps.max(axis=1).min())
    return np.array([known[int(one)] for one in origin], np.int64)
