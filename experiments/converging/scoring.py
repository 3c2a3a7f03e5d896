"""What runs achieved, against the exact surfaces: pure functions on arrays.

s seeds, T evaluations; evaluations count from 0 in arrays and from 1 in results.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.regret import Convergence, Share, converged_by
from evaluators.shares import clopper_pearson
from experiments.converging.running import Run
from experiments.converging.surfaces import Surface, least_approvals, reachable

__all__ = [
    "BINS",
    "Bin",
    "Falls",
    "Live",
    "converged",
    "falls",
    "inside_for_good",
    "live",
    "median_or_later",
    "pooled",
    "recovery",
    "returned",
    "reliability",
    "share_of",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
FALL = 0.05  # reward units: an approval that loses more is counted
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)  # edges of confidence; the last one includes its upper end


class Falls(NamedTuple):
    """Approvals, and those after which the deployed value was lower by more than `FALL`."""

    approvals: int
    fallen: int


class Live(NamedTuple):
    """The live statement of s runs.

    Attributes:
        said: (s, T) whether it was made; true: whether it held; both of every evaluation.
        confidence: (s, T) the probability given.
    """

    said: Bools
    true: Bools
    confidence: Floats

    @property
    def first(self) -> Bools:
        """(m,) whether it was true when first made, of the m runs that made it."""
        rows = np.flatnonzero(self.said.any(axis=1))
        return np.asarray(self.true[rows, self.said[rows].argmax(axis=1)])


class Bin(NamedTuple):
    """Statements whose confidence fell into one bin: how many, their mean confidence, how many were true."""

    lo: float
    hi: float
    total: int
    confidence: float
    true: int


def converged(run: Run, surface: Surface, *, by: tuple[int, ...]) -> Convergence:
    """Shares of seeds converged, as `evaluators.regret` defines them."""
    stretch = surface.stretch(run.centre.shape[1])
    best, worst = surface.best[stretch], surface.worst[stretch]
    return converged_by(surface.at(run.centre), best, worst=worst, reward_span=surface.span, by=by)


def pooled(found: list[Convergence], kind: str) -> tuple[Share, ...]:
    """Shares of all seeds of several surfaces together, each with its exact bound.

    Args:
        found: of each surface.
        kind: `reached`, `strict` or `kept`.
    """
    each = [getattr(one, kind) for one in found]
    return tuple(
        share_of(sum(s.hits for s in same), sum(s.total for s in same), by=same[0].by)
        for same in zip(*each, strict=True)
    )  # fmt: skip


def share_of(hits: int, total: int, *, by: int = 0) -> Share:
    """A share with its one-sided 95 % Clopper-Pearson lower bound.

    >>> share_of(95, 100).lo.__round__(4)
    0.8977
    """
    lo = clopper_pearson(hits, total, confidence=0.95, side="lower").lo
    return Share(by, hits, total, hits / total if total else float("nan"), lo)


def inside(run: Run, surface: Surface, *, of: str = "centre") -> Bools:
    """(s, T) whether the approved (or `recommended`) action is within tolerance at every evaluation."""
    ids = getattr(run, of)
    return np.asarray(surface.inside[surface.stretch(ids.shape[1])[None, :], ids])


def inside_for_good(within: Bools) -> Bools:
    """(s, T) whether it holds there and at every later evaluation.

    >>> inside_for_good(np.array([[True, False, True, True]])).tolist()
    [[False, False, True, True]]
    """
    return np.asarray(np.logical_and.accumulate(within[:, ::-1], axis=1)[:, ::-1])


def returned(within: Bools, onset: int) -> Floats:
    """(m,) evaluations from a change until first within tolerance again; arguments and seeds as `recovery`.

    >>> returned(np.array([[True, False, False, True, True], [True, False, True, False, False]]), 1).tolist()
    [2.0, 1.0]
    """
    after = within[within[:, onset - 1] & ~within[:, onset], onset:]
    return np.where(after.any(axis=1), after.argmax(axis=1), np.inf).astype(np.float64)


def recovery(within: Bools, onset: int) -> Floats:
    """(m,) evaluations from a change until within tolerance for good, of the m seeds that the change drove out.

    Driven out: inside just before the change, outside just after it, by the tolerances of either
    time. Infinite where a seed never comes back.

    Args:
        within: (s, T).
        onset: first evaluation after the change.

    >>> recovery(np.array([[True, False, False, True, True], [True, False, True, False, False]]), 1).tolist()
    [2.0, inf]
    """
    left = within[:, onset - 1] & ~within[:, onset]
    good = inside_for_good(within)[left, onset:]
    return np.where(good.any(axis=1), good.argmax(axis=1), np.inf).astype(np.float64)


def median_or_later(values: Floats) -> float:
    """The median, infinite where half never got there; NaN of nothing.

    >>> median_or_later(np.array([3.0, np.inf, 5.0]))
    5.0
    """
    if not values.size:
        return float("nan")
    ordered = np.sort(values)
    return float(ordered[len(ordered) // 2])  # the upper one of two: infinities have no mean


def falls(run: Run, surface: Surface) -> Falls:
    """Approvals, and those that lost more than `FALL`, both ends told at the moment of the approval."""
    before, after = run.centre[:, :-1], run.centre[:, 1:]
    stretch = surface.stretch(run.centre.shape[1])[None, 1:]
    lost = surface.values[stretch, before] - surface.values[stretch, after]
    moved = before != after
    return Falls(int(moved.sum()), int((moved & (lost > FALL)).sum()))


def excess(run: Run, surface: Surface) -> NDArray[np.int64]:
    """(s,) approvals beyond the fewest that lead from the start into the tolerance set."""
    least = least_approvals(surface, np.array([surface.start], np.int32), 0)[0]
    return np.asarray((run.centre[:, 1:] != run.centre[:, :-1]).sum(axis=1) - least)


def live(run: Run, surface: Surface, *, epsilon: float, confidence: float) -> Live:
    """The live statement of a run against the exact values in reach.

    Args:
        run: watched.
        surface: its world.
        epsilon: loss that the statement tolerates, as a share of the reward range.
        confidence: from which on it is made.
    """
    stretch = surface.stretch(run.centre.shape[1])[None, :]
    short = reachable(surface)[stretch, run.centre] - surface.values[stretch, run.centre]
    given = np.where(np.isnan(run.confidence), 0.0, run.confidence)
    return Live(given >= confidence, short <= epsilon * surface.span, given)


def reliability(found: list[Live]) -> list[Bin]:
    """How often statements of each confidence were true; evaluations of a run depend on each other."""
    given = np.concatenate([one.confidence.ravel() for one in found])
    true = np.concatenate([one.true.ravel() for one in found])
    place = np.clip(np.searchsorted(BINS, given, side="right") - 1, 0, len(BINS) - 2)
    bins = []
    for i, (lo, hi) in enumerate(zip(BINS, BINS[1:], strict=False)):
        mine = place == i
        if mine.any():
            bins.append(Bin(lo, hi, int(mine.sum()), float(given[mine].mean()), int(true[mine].sum())))
    return bins


def lost(run: Run, surface: Surface) -> Floats:
    """(s, T) oracle less the value of what was tried, exploration included; both averaged over contexts."""
    stretch = surface.stretch(run.action.shape[1])
    return np.asarray(surface.best[stretch][None, :] - surface.at(run.action))


def simple_regret(run: Run, surface: Surface, *, by: tuple[int, ...]) -> Floats:
    """(s, len(by)) oracle less deployed value at some evaluations, which count from 1."""
    at = np.array(by) - 1
    best = surface.best[surface.stretch(run.centre.shape[1])]
    return np.asarray((best[None, :] - surface.at(run.centre))[:, at])
