"""What an estimator reads: one target policy judged on the rows of one log, checked at the door.

A row carries the logged window's whole distribution, not only the propensity of the action taken:
intervals that hold for 200 rows need it. Where contexts repeat, behavior, target and predictions
are tables of the c distinct contexts and `row` says which one a decision met, so that an estimator
works on c rows instead of n. Rows are assumed to be independent given their context, or independent
between clusters when `cluster` is given; a log whose logger learned is `adaptive`'s.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

INTEGERS = ("slot", "cluster", "row", "action_ids")
NUMBERS = ("reward", "behavior", "target", "predicted", "points")
ROUNDING = 1e-9  # how far a row of probabilities may sum beside 1


class RewardRange(NamedTuple):
    """The declared bounds of the reward, in reward units."""

    lo: float
    hi: float


class Rows(NamedTuple):
    """One target policy on one log: n rows, k window slots, c table rows (c = n without `row`).

    `target` may sum to less than 1: the rest, and mass on slots the logger could not take, is
    *unsupported mass*. It is reported and never renormalised. `predicted` is a reward model that
    did not see the row it predicts (`reward_model.cross_fit`): with folds, c = folds x contexts.
    `reward_range` is what the world declares; None says that the reward is unbounded or its range
    unknown.
    """

    reward: Floats  # (n,) reward units
    slot: Ints  # (n,) window slot of the logged action
    behavior: Floats  # (c, k) propensities of the whole window, 0 where infeasible
    target: Floats  # (c, k) target probabilities on the logged window
    predicted: Floats | None = None  # (c, k) reward units
    cluster: Ints | None = None  # (n,) label of what moves together
    reward_range: RewardRange | None = None
    row: Ints | None = None  # (n,) table row of each decision; None: its own
    is_partial: bool = False  # behavior is known at the logged slot only: NaN elsewhere, or (n, 1); no `row`
    action_ids: Ints | None = None  # (c, k) what the slots hold, for kernels and marginal weights
    points: Floats | None = None  # (actions, axes) coordinates of every action, any unit

    def at(self, table: Floats) -> Floats:
        """(n,) entries of a (c, k) table at the logged slots, or of a (c,) column at the rows."""
        if table.ndim == 1:
            return table if self.row is None else table[self.row]
        if self.is_partial and table.shape[1] == 1:
            return table[:, 0]
        row = np.arange(self.slot.size) if self.row is None else self.row
        return np.asarray(table.take(row * table.shape[1] + self.slot))

    def part(self, begin: int, end: int) -> "Rows":
        """Rows begin..end-1; without `row` the tables are cut too."""
        log: dict[str, Any] = {
            name: _cut(getattr(self, name), begin, end) for name in ("reward", "slot", "cluster", "row")
        }
        if self.row is None:
            tables = ("behavior", "target", "predicted", "action_ids")
            log |= {name: _cut(getattr(self, name), begin, end) for name in tables}
        return self._replace(**log)


def _cut(values: Any, begin: int, end: int) -> Any:
    return None if values is None else values[begin:end]


class Estimate(NamedTuple):
    """A policy value in reward units, with what is needed to doubt it.

    `stderr` is infinite, and the interval the whole line, where the rows cannot tell; `value` is
    NaN only where the estimator is undefined on them (SNIPS, no row with a positive weight).
    """

    value: float
    stderr: float
    lo: float
    hi: float
    ess: float  # effective sample size in rows: (sum w)^2 / sum w^2
    max_weight: float  # largest importance weight
    n: int  # rows


def written_out(rows: Rows) -> Rows:
    """The same log with tables of its own, one row per decision: where policies differ from row to row."""
    if rows.row is None:
        return rows
    tables: dict[str, Any] = {
        name: None if getattr(rows, name) is None else getattr(rows, name)[rows.row]
        for name in ("behavior", "target", "predicted", "action_ids")
    }
    return rows._replace(row=None, **tables)


def logged(table: Floats, slot: Ints) -> Floats:
    """The entry of each row's logged slot.

    Args:
        table: (n, k) any per-slot numbers.
        slot: (n,) logged slots.

    Returns:
        (n,) table[i, slot[i]].

    >>> logged(np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([1, 0]))
    array([0.8, 0.5])
    """
    return table[np.arange(slot.size), slot]


def check(rows: Rows) -> Rows:
    """Refuse rows that no estimator can read; pass the rest on as float64 and int64 arrays.

    Args:
        rows: what a log reader or a user handed over.

    Returns:
        The same rows, array types settled.

    Raises:
        ValueError: no rows, shapes that disagree, NaN or infinity, a slot outside the window, a
            propensity outside (0, 1], negative probabilities, target sums above 1, behavior sums
            other than 1, an unusable range, rewards or predictions outside the declared range.
        TypeError: slots, rows, clusters or action ids that are not integers.
    """
    rows = typed(rows)
    check_shapes(rows)
    check_values(rows)
    return rows


def check_values(rows: Rows) -> None:
    """The part of `check` that reads every number; types and shapes are settled."""
    check_logged(rows)
    check_tables(rows)


def check_logged(rows: Rows) -> None:
    """Refuse rewards, slots and table rows that no estimator can read.

    Raises:
        ValueError: as `check`.
    """
    c, k = rows.behavior.shape[0], rows.target.shape[1]
    _refuse(~np.isfinite(rows.reward), rows.reward, "reward", "need a finite number")
    outside = (rows.slot < 0) | (rows.slot >= k)
    _refuse(outside, rows.slot, "slot", f"need 0 <= slot < {k}, the window's size")
    if rows.row is not None:
        _refuse((rows.row < 0) | (rows.row >= c), rows.row, "row", f"need 0 <= row < {c}, the rows of behavior")
    if rows.reward_range is not None:
        lo, hi = rows.reward_range
        if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
            raise ValueError(f"reward_range = ({lo:.6g}, {hi:.6g}), need two finite numbers, lo < hi")
        _check_range(rows.reward, rows.reward_range, name="reward")


class Checked(NamedTuple):
    """What checking the tables found out by the way."""

    is_full: bool  # the logger could take every slot of every row
    mass: Floats  # (c,) sum of target


def check_tables(rows: Rows) -> Checked:
    """Refuse probabilities and predictions that no estimator can read.

    Raises:
        ValueError: as `check`.
    """
    checked = _check_probabilities(rows)
    if not checked.is_full:
        propensity = rows.at(rows.behavior)
        bad = ~((propensity > 0) & (propensity <= 1 + ROUNDING))
        mend = "need 0 < p <= 1; was this action drawn from these probabilities?"
        _refuse(bad, propensity, "propensity", mend)
    if rows.predicted is not None and rows.reward_range is not None:
        mend = "; clip it with reward_model.clip"
        _check_range(rows.predicted, rows.reward_range, name="predicted", mend=mend)
    elif rows.predicted is not None:
        _refuse(~np.isfinite(rows.predicted), rows.predicted, "predicted", "need a finite number")
    return checked


def typed(rows: Rows) -> Rows:
    """Rows with float64 and int64 arrays.

    Raises:
        TypeError: slots, rows, clusters or action ids that are not integers.
    """
    for name in INTEGERS:
        values = getattr(rows, name)
        if values is not None and np.asarray(values).dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {np.asarray(values).dtype}, need integers")
    settled: dict[str, Any] = {name: _settled(getattr(rows, name), np.float64) for name in NUMBERS}
    settled |= {name: _settled(getattr(rows, name), np.int64) for name in INTEGERS}
    declared = None if rows.reward_range is None else RewardRange(*rows.reward_range)
    return rows._replace(**settled, reward_range=declared)


def _settled(values: Any, dtype: type) -> Any:
    return None if values is None else np.asarray(values, dtype=dtype)


def check_shapes(rows: Rows) -> None:
    """Refuse arrays whose shapes disagree.

    Raises:
        ValueError: an empty table, or lengths that differ.
    """
    if rows.behavior.ndim != 2 or 0 in rows.behavior.shape:
        raise ValueError(
            f"behavior has shape {rows.behavior.shape}, need (n, k) with at least one row and one "
            "slot; is the log empty?"
        )
    c, k = rows.behavior.shape
    if rows.is_partial and k == 1 and rows.target.ndim == 2:
        k = rows.target.shape[1]  # one propensity a row, of the slot that was logged
    if rows.row is not None and (rows.is_partial or rows.row.ndim != 1 or rows.row.size == 0):
        raise ValueError(f"row has shape {rows.row.shape}, need (n,) with n >= 1 and a logger known at every slot")
    n = c if rows.row is None else rows.row.size
    wanted = {name: (n,) for name in ("reward", "slot", "cluster")}
    for name, shape in (wanted | {name: (c, k) for name in ("target", "predicted", "action_ids")}).items():
        values = getattr(rows, name)
        if values is not None and values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}, need {shape} to match behavior {(c, k)}")


def _check_probabilities(rows: Rows) -> Checked:
    is_full, total = False, np.empty(0)
    for name, table in (("behavior", rows.behavior), ("target", rows.target)):
        is_partial = rows.is_partial and name == "behavior"
        known = np.nan_to_num(table, nan=0.0) if is_partial else table
        lowest = known.min()
        if not lowest >= 0:  # NaN included
            _refuse(~(known >= 0), known, name, "need probabilities >= 0")
        total = known @ np.ones(known.shape[1])
        if not total.max() <= 1 + ROUNDING:
            _refuse(~(total <= 1 + ROUNDING), total, f"sum of {name}", "need <= 1; renormalise first")
        if name == "behavior" and not is_partial:
            is_full = bool(lowest > 0)
            mend = "need 1; does the log hold the propensities of the whole window?"
            _refuse(total < 1 - ROUNDING, total, "sum of behavior", mend)
    return Checked(is_full, total)


def _check_range(values: Floats, declared: RewardRange, *, name: str, mend: str = "") -> None:
    lo, hi = declared
    slack = ROUNDING * (hi - lo)
    if not (values.min() >= lo - slack and values.max() <= hi + slack):
        need = f"need {lo:.6g} <= value <= {hi:.6g}, the declared range{mend}"
        _refuse(~((values >= lo - slack) & (values <= hi + slack)), values, name, need)


def _refuse(bad: Bools, values: Floats | Ints, name: str, need: str) -> None:
    if not bad.any():
        return
    where = np.argwhere(bad)[0]
    index = ", ".join(str(i) for i in where)
    raise ValueError(
        f"{name}[{index}] = {values[tuple(where)]:.6g}, {need} ({int(bad.sum()):,} of {bad.size:,} values)"
    )
