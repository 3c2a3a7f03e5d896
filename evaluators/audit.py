"""An independent audit: did every decision of a log stay within its bounds and its own promises?

Nothing here calls the code that decided. What was allowed around a window's centre is
found again from the decimal values of the lattice, the hard limits and the radii, over
the whole grid and in whole numbers, so that a fault in the policy's window can show.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MODEL, Lattice
from evaluators.decisions import DecisionLog
from policies.constraints import Params

__all__ = ["Audit", "audit"]

_TOTAL = 2**20  # masses of a row
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Audit(NamedTuple):
    """What was found.

    Attributes:
        n: decisions audited.
        share_feasible: share of them whose action the bounds allow, 0..1.
        n_violations: decisions with any violation: of the bounds, the mask or the draw.
        violations: one of each kind in words, with its request id and how many there are;
            actions out of bounds first.
    """

    n: int
    share_feasible: float
    n_violations: int
    violations: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return self.n_violations == 0


class _Axis(NamedTuple):
    """One parameter in whole numbers: values, limits and radius times 10^digits."""

    name: str
    values: Ints
    lowest: int
    highest: int
    radius: int  # -1: one step of the lattice
    share: Fraction  # of a value: the region reaches so far where that is more than the radius; 0: off

    def around(self, centre: int) -> tuple[Bools, Bools]:
        """(v,) which values meet the limits, and which lie within the radius of a coordinate."""
        legal = (self.values >= self.lowest) & (self.values <= self.highest)
        if self.radius < 0:
            return legal, np.abs(np.arange(self.values.size) - centre) <= 1
        away, reach = np.abs(self.values - self.values[centre]), int(self.share * int(self.values[centre]))
        step = int(self.values[1] - self.values[0]) if self.share else 1
        slots = self.radius // step
        if reach <= self.radius or slots == 0:
            return legal, away <= self.radius
        apart = reach // step // slots * step  # as many slots as the radius has, evenly further apart
        return legal, (away % apart == 0) & (away <= slots * apart)


def _axes(lattice: Lattice, constraints: Params) -> list[_Axis]:
    found = []
    for axis in lattice.axes:
        limits, radius = getattr(constraints, axis.name), getattr(constraints.radius, axis.name)
        share = constraints.radius.max_tokens_share if axis.name == "max_tokens" and len(axis.values) > 1 else ""
        values = [str(i) for i in range(len(axis.values))] if axis.name == MODEL else list(axis.values)
        ends = [limits.lowest or axis.values[0], limits.highest or axis.values[-1]]
        ends = [values[axis.values.index(end)] for end in ends] if axis.name == MODEL else ends
        if share and not radius:  # one step, and that is known only here
            radius = str(Decimal(values[1]) - Decimal(values[0]))
        texts = [*values, *ends, radius or "0"]
        numbers = [Decimal(text) for text in texts]
        digits = max(0, *(-int(number.as_tuple().exponent) for number in numbers))
        *grid, low, high, reach = (int(number.scaleb(digits)) for number in numbers)
        found.append(
            _Axis(axis.name, np.array(grid, np.int64), low, high, reach if radius else -1, Fraction(share or 0))
        )
    return found


class _Allowed(NamedTuple):
    """(actions,) around one centre: within the hard limits, within the radius, recorded."""

    legal: Bools
    near: Bools
    recorded: Bools

    @property
    def all(self) -> Bools:
        """(actions,) allowed."""
        return self.legal & self.near & self.recorded

    def why_not(self, action: int) -> str:
        """Which bounds an action breaks, in words."""
        kept = {"breaks the hard limits": self.legal, "leaves the trust region": self.near}
        kept["was never recorded"] = self.recorded
        return " and ".join(words for words, met in kept.items() if not met[action])


class _Judge(NamedTuple):
    """The bounds, ready to be asked about any centre."""

    shape: tuple[int, ...]
    axes: list[_Axis]
    recorded: Mapping[str, Bools] | None

    @property
    def size(self) -> int:
        """Actions of the grid."""
        return math.prod(self.shape)

    def around(self, kind: str, centre: int) -> _Allowed:
        """Every action of the grid, judged for one task type against one centre."""
        legal, near = np.ones(self.shape, np.bool_), np.ones(self.shape, np.bool_)
        home = np.unravel_index(centre, self.shape)
        for i, (axis, coordinate) in enumerate(zip(self.axes, home, strict=True)):
            along = [1] * len(self.axes)
            along[i] = -1
            met, close = axis.around(int(coordinate))
            legal, near = legal & met.reshape(along), near & close.reshape(along)
        seen = np.ones(self.size, np.bool_) if self.recorded is None else self.recorded[kind]
        return _Allowed(legal.ravel(), near.ravel(), seen)

    def why_not(self, kind: str, centre: int, action: int) -> str:
        """Why an action may not be taken, in words."""
        if not (0 <= action < self.size and 0 <= centre < self.size):
            return "lies outside the grid, or its window's centre does"
        return self.around(kind, centre).why_not(action)


class _Finding(NamedTuple):
    """(n,) rows in which one thing is wrong, and how to say it of a row."""

    bad: Bools
    words: str


def audit(
    log: DecisionLog, lattice: Lattice, *, constraints: Params, recorded: Mapping[str, Bools] | None = None
) -> Audit:
    """Check every decision of a log against the bounds and against itself.

    Args:
        log: the decisions.
        lattice: the actions.
        constraints: hard limits and trust-region radii, as decimal strings.
        recorded: per task type, (actions,) False where the world can't answer; None: it always can.

    Returns:
        The share of feasible recommendations, and violations in words: of hard limits or trust
        region, a mask other than the bounds', mass off the mask or not summing to 2^20, an action
        that the uniform does not give, a propensity other than mass / 2^20, parameters other than
        the action's.

    Raises:
        ValueError: a log without rows, or a task type that `recorded` does not have.
    """
    if len(log) == 0:
        raise ValueError("the log has no rows, need at least one decision to audit")
    unknown = sorted(set(log.task_type) - set(recorded or log.task_type))
    if unknown:
        raise ValueError(f"recorded has no task type {unknown[0]!r}, need one of {', '.join(recorded or ())}")
    judge = _Judge(lattice.shape, _axes(lattice, constraints), recorded)
    findings = [*_judge_bounds(log, judge), *_judge_draw(log), _judge_parameters(log, lattice)]
    wrong = np.logical_or.reduce([finding.bad for finding in findings])
    told = tuple(_tell(log, finding, judge) for finding in findings if finding.bad.any())
    return Audit(len(log), float(1.0 - findings[0].bad.mean()), int(wrong.sum()), told)


def _tell(log: DecisionLog, finding: _Finding, judge: _Judge) -> str:
    """What is wrong with the first row, and with how many."""
    row = int(np.argmax(finding.bad))
    action, centre = int(log.action_id[row]), int(log.centre[row])
    why = judge.why_not(log.task_type[row], centre, action) if "{why}" in finding.words else ""
    what = finding.words.format(action=action, why=why)
    return f"request {log.request_id[row]} (row {row}): {what} ({int(finding.bad.sum())} of {len(log)} decisions)"


def _judge_bounds(log: DecisionLog, judge: _Judge) -> list[_Finding]:
    """Which actions are not allowed (first), and where the mask is not what the bounds allow."""
    infeasible = np.ones(len(log), np.bool_)
    beyond, short = np.zeros(len(log), np.bool_), np.zeros(len(log), np.bool_)
    kinds, code = np.unique(log.task_type, return_inverse=True)
    groups, group = np.unique(np.stack([code, log.centre.astype(np.int64)]), axis=1, return_inverse=True)
    for g, (kind, centre) in enumerate(groups.T):
        rows = np.flatnonzero(group.ravel() == g)
        if 0 <= centre < judge.size:
            allowed = np.append(judge.around(kinds[kind], int(centre)).all, False)  # last: outside the grid
            on_grid = (log.action_ids[rows] >= 0) & (log.action_ids[rows] < judge.size)
            offered = np.where(on_grid, log.action_ids[rows], judge.size)
            actions = np.clip(log.action_id[rows], -1, judge.size)
            infeasible[rows] = ~allowed[actions]
            beyond[rows] = (log.mask[rows] & ~allowed[offered]).any(axis=1)
            short[rows] = (log.mask[rows] & allowed[offered]).sum(axis=1) < allowed.sum()
    return [
        _Finding(infeasible, "action {action} {why}"),
        _Finding(beyond, "its mask offers actions that the bounds exclude"),
        _Finding(short & ~beyond, "its mask leaves out actions that the bounds allow"),
    ]


def _judge_draw(log: DecisionLog) -> list[_Finding]:
    """Whether the masses are a distribution on the mask, and the action and propensity are theirs."""
    masses = log.masses.astype(np.int64)
    rows = np.arange(len(log))
    drawn = np.minimum((np.cumsum(masses, axis=1) <= log.uniform[:, None]).sum(axis=1), masses.shape[1] - 1)
    is_other = (log.action_ids[rows, drawn] != log.action_id) | ~log.mask[rows, drawn]
    promised = masses[rows, drawn] / _TOTAL
    return [
        _Finding(_is_twice(log), "its mask offers an action twice"),
        _Finding(((masses != 0) & ~log.mask).any(axis=1), "it puts probability on an infeasible slot"),
        _Finding((masses < 0).any(axis=1) | (masses.sum(axis=1) != _TOTAL), "its masses are no distribution of 2^20"),
        _Finding(is_other, "its uniform and masses give another action"),
        _Finding(~is_other & (log.propensity != promised), "its propensity is not mass / 2^20"),
    ]


def _is_twice(log: DecisionLog) -> Bools:
    """(n,) whether two feasible slots hold one action: its probability would then be their sum."""
    offered = np.sort(np.where(log.mask, log.action_ids.astype(np.float64), np.inf), axis=1)
    same: Bools = (offered[:, 1:] == offered[:, :-1]) & np.isfinite(offered[:, 1:])
    return np.asarray(same.any(axis=1), np.bool_)


def _judge_parameters(log: DecisionLog, lattice: Lattice) -> _Finding:
    """Whether what was sent to the model is what the action's id means."""
    wrong = np.zeros(len(log), np.bool_)
    known = (log.action_id >= 0) & (log.action_id < lattice.size)
    for action in np.unique(log.action_id[known]):
        rows = log.action_id == action
        for name, value in lattice.parameters(int(action)).items():
            wrong |= rows & (getattr(log, name) != value)
    return _Finding(wrong, "the parameters sent are not those of its action")
