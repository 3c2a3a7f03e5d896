"""An independent audit: did every decision of a log stay within its bounds and its own promises?

Nothing here calls the code that decided. What was allowed around a window's centre is
found again from the decimal values of the lattice, the hard limits and the radii, over
the whole grid and in whole numbers, so that a fault in the policy's window can show.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.lattice import Lattice
from evaluators.decisions import DecisionLog
from policies.constraints import Params

__all__ = ["Audit", "audit"]

SHOWN = 5  # violations told in words
_TOTAL = 2**20  # masses of a row
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Audit(NamedTuple):
    """What was found.

    Attributes:
        n: decisions audited.
        share_feasible: share of them whose action the bounds allow, 0..1.
        n_violations: decisions with any violation: of the bounds, the mask or the draw.
        violations: the first few, in words with their request ids.
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

    def around(self, centre: int) -> tuple[Bools, Bools]:
        """(v,) which values meet the limits, and which lie within the radius of a coordinate."""
        legal = (self.values >= self.lowest) & (self.values <= self.highest)
        if self.radius < 0:
            return legal, np.abs(np.arange(self.values.size) - centre) <= 1
        return legal, np.abs(self.values - self.values[centre]) <= self.radius


def _axes(lattice: Lattice, constraints: Params) -> list[_Axis]:
    found = []
    for axis in lattice.axes:
        limits, radius = getattr(constraints, axis.name), getattr(constraints.radius, axis.name)
        texts = [*axis.values, limits.lowest or axis.values[0], limits.highest or axis.values[-1], radius or "0"]
        numbers = [Decimal(text) for text in texts]
        digits = max(0, *(-int(number.as_tuple().exponent) for number in numbers))
        *values, low, high, reach = (int(number.scaleb(digits)) for number in numbers)
        found.append(_Axis(axis.name, np.array(values, np.int64), low, high, reach if radius else -1))
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


def _allowed(lattice: Lattice, axes: list[_Axis], centre: int, recorded: Bools) -> _Allowed:
    """Every action of the grid, judged against one centre."""
    legal, near = np.ones(lattice.shape, np.bool_), np.ones(lattice.shape, np.bool_)
    home = np.unravel_index(centre, lattice.shape)
    for i, (axis, coordinate) in enumerate(zip(axes, home, strict=True)):
        along = [1] * len(axes)
        along[i] = -1
        met, close = axis.around(int(coordinate))
        legal, near = legal & met.reshape(along), near & close.reshape(along)
    return _Allowed(legal.ravel(), near.ravel(), recorded)


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
    n = len(log)
    if n == 0:
        raise ValueError("the log has no rows, need at least one decision to audit")
    feasible, reasons, masks = _judge_bounds(log, lattice, _axes(lattice, constraints), recorded)
    findings = [_Finding(~feasible, "action {action}"), *masks, *_judge_draw(log), *_judge_parameters(log, lattice)]
    wrong = np.logical_or.reduce([finding.bad for finding in findings])
    told = (line for row in np.flatnonzero(wrong) for line in _tell(log, int(row), findings, reasons))
    violations = tuple(line for line, _ in zip(told, range(SHOWN), strict=False))
    return Audit(n, float(feasible.mean()), int(wrong.sum()), violations)


def _tell(log: DecisionLog, row: int, findings: list[_Finding], reasons: dict[int, str]) -> Iterator[str]:
    for finding in findings:
        if finding.bad[row]:
            action = f"{log.action_id[row]} {reasons.get(row, '')}"
            yield f"request {log.request_id[row]} (row {row}): {finding.words.format(action=action)}"


def _judge_bounds(
    log: DecisionLog, lattice: Lattice, axes: list[_Axis], recorded: Mapping[str, Bools] | None
) -> tuple[Bools, dict[int, str], list[_Finding]]:
    """Which actions are allowed, why the others are not, and where the mask is not the bounds'."""
    n, size = len(log), lattice.size
    feasible, reasons = np.zeros(n, np.bool_), {}
    beyond, short, outside = (np.zeros(n, np.bool_) for _ in range(3))
    for kind in np.unique(log.task_type):
        if recorded is not None and kind not in recorded:
            raise ValueError(f"recorded has no task type {kind!r}, need one of {', '.join(recorded)}")
        seen = np.ones(size, np.bool_) if recorded is None else recorded[kind]
        for centre in np.unique(log.centre[log.task_type == kind]):
            rows = np.flatnonzero((log.task_type == kind) & (log.centre == centre))
            if not 0 <= centre < size:
                outside[rows] = True
                reasons |= {int(row): "stands around a centre outside the grid" for row in rows}
                continue
            bounds = _allowed(lattice, axes, int(centre), seen)
            for row in rows:
                offered = log.action_ids[row][log.mask[row]]
                known = offered[(offered >= 0) & (offered < size)]
                beyond[row] = known.size < offered.size or not bounds.all[known].all()
                short[row] = np.unique(known).size < bounds.all.sum()
                action = int(log.action_id[row])
                if not 0 <= action < size:
                    reasons[int(row)] = "lies outside the grid"
                elif bounds.all[action]:
                    feasible[row] = True
                else:
                    reasons[int(row)] = bounds.why_not(action)
    masks = [
        _Finding(beyond, "its mask offers actions that the bounds exclude"),
        _Finding(short & ~beyond, "its mask leaves out actions that the bounds allow"),
    ]
    return feasible, reasons, masks


def _judge_draw(log: DecisionLog) -> list[_Finding]:
    """Whether the masses are a distribution on the mask, and the action and propensity are theirs."""
    masses = log.masses.astype(np.int64)
    rows = np.arange(len(log))
    drawn = np.minimum((np.cumsum(masses, axis=1) <= log.uniform[:, None]).sum(axis=1), masses.shape[1] - 1)
    is_other = (log.action_ids[rows, drawn] != log.action_id) | ~log.mask[rows, drawn]
    promised = masses[rows, drawn] / _TOTAL
    return [
        _Finding(((masses != 0) & ~log.mask).any(axis=1), "it puts probability on an infeasible slot"),
        _Finding((masses < 0).any(axis=1) | (masses.sum(axis=1) != _TOTAL), "its masses are no distribution of 2^20"),
        _Finding(is_other, "its uniform and masses give another action"),
        _Finding(~is_other & (log.propensity != promised), "its propensity is not mass / 2^20"),
    ]


def _judge_parameters(log: DecisionLog, lattice: Lattice) -> list[_Finding]:
    """Whether what was sent to the model is what the action's id means."""
    wrong = np.zeros(len(log), np.bool_)
    known = (log.action_id >= 0) & (log.action_id < lattice.size)
    for action in np.unique(log.action_id[known]):
        rows = log.action_id == action
        for name, value in lattice.parameters(int(action)).items():
            wrong |= rows & (getattr(log, name) != value)
    return [_Finding(wrong, "the parameters sent are not those of its action")]
