"""What an estimator reads: one target policy judged on the rows of one log, checked at the door.

A row carries the logged window's whole distribution, not only the propensity of the action taken:
intervals that hold for 200 rows need it. Rows are assumed to be independent given their context,
or independent between clusters when `cluster` is given.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROUNDING = 1e-9  # how far a row of probabilities may sum beside 1


class RewardRange(NamedTuple):
    """The declared bounds of the reward, in reward units."""

    lo: float
    hi: float


class Rows(NamedTuple):
    """One target policy on one log: n rows, k window slots.

    `target` may sum to less than 1: the rest, and mass on slots the logger could not take, is
    *unsupported mass*. It is reported and never renormalised. `predicted` is a reward model that
    did not see the row it predicts (`reward_model.cross_fit`). `reward_range` is what the world
    declares; None says that the reward is unbounded or its range unknown.
    """

    reward: Floats  # (n,) reward units
    slot: Ints  # (n,) window slot of the logged action
    behavior: Floats  # (n, k) propensities of the whole window, 0 where infeasible
    target: Floats  # (n, k) target probabilities on the logged window
    predicted: Floats | None = None  # (n, k) reward units
    cluster: Ints | None = None  # (n,) label of what moves together
    reward_range: RewardRange | None = None


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
        TypeError: slots or clusters that are not integers.
    """
    rows = _typed(rows)
    _check_shapes(rows)
    _refuse(~np.isfinite(rows.reward), rows.reward, "reward", "need a finite number")
    _check_probabilities(rows)
    _check_propensity(rows)
    if rows.predicted is not None:
        _refuse(~np.isfinite(rows.predicted), rows.predicted, "predicted", "need a finite number")
    if rows.reward_range is not None:
        _check_range(rows, rows.reward_range)
    return rows


def _typed(rows: Rows) -> Rows:
    for name, values in (("slot", rows.slot), ("cluster", rows.cluster)):
        if values is not None and np.asarray(values).dtype.kind not in "iu":
            raise TypeError(f"{name} has dtype {np.asarray(values).dtype}, need integers")
    return rows._replace(
        reward=np.asarray(rows.reward, dtype=np.float64),
        slot=np.asarray(rows.slot, dtype=np.int64),
        behavior=np.asarray(rows.behavior, dtype=np.float64),
        target=np.asarray(rows.target, dtype=np.float64),
        predicted=None if rows.predicted is None else np.asarray(rows.predicted, dtype=np.float64),
        cluster=None if rows.cluster is None else np.asarray(rows.cluster, dtype=np.int64),
        reward_range=None if rows.reward_range is None else RewardRange(*rows.reward_range),
    )


def _check_shapes(rows: Rows) -> None:
    if rows.behavior.ndim != 2 or 0 in rows.behavior.shape:
        raise ValueError(
            f"behavior has shape {rows.behavior.shape}, need (n, k) with at least one row and one "
            "slot; is the log empty?"
        )
    n, k = rows.behavior.shape
    wanted = {"reward": (n,), "slot": (n,), "target": (n, k), "predicted": (n, k), "cluster": (n,)}
    for name, shape in wanted.items():
        values = getattr(rows, name)
        if values is not None and values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}, need {shape} to match behavior {(n, k)}")


def _check_probabilities(rows: Rows) -> None:
    for name, table in (("behavior", rows.behavior), ("target", rows.target)):
        if not table.min() >= 0:  # NaN included
            _refuse(~(table >= 0), table, name, "need probabilities >= 0")
        total = table.sum(axis=1)
        _refuse(~(total <= 1 + ROUNDING), total, f"sum of {name}", "need <= 1; renormalise first")
    total = rows.behavior.sum(axis=1)
    mend = "need 1; does the log hold the propensities of the whole window?"
    _refuse(total < 1 - ROUNDING, total, "sum of behavior", mend)


def _check_propensity(rows: Rows) -> None:
    k = rows.behavior.shape[1]
    outside = (rows.slot < 0) | (rows.slot >= k)
    _refuse(outside, rows.slot, "slot", f"need 0 <= slot < {k}, the window's size")
    propensity = logged(rows.behavior, rows.slot)
    bad = ~((propensity > 0) & (propensity <= 1 + ROUNDING))
    mend = "need 0 < p <= 1; was this action drawn from these probabilities?"
    _refuse(bad, propensity, "propensity", mend)


def _check_range(rows: Rows, declared: RewardRange) -> None:
    lo, hi = declared
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        raise ValueError(f"reward_range = ({lo:.6g}, {hi:.6g}), need two finite numbers, lo < hi")
    slack = ROUNDING * (hi - lo)
    need = f"need {lo:.6g} <= value <= {hi:.6g}, the declared range"
    for name, values in (("reward", rows.reward), ("predicted", rows.predicted)):
        if values is not None and not (values.min() >= lo - slack and values.max() <= hi + slack):
            mend = "; clip it with reward_model.clip" if name == "predicted" else ""
            _refuse(~((values >= lo - slack) & (values <= hi + slack)), values, name, need + mend)


def _refuse(bad: Bools, values: Floats | Ints, name: str, need: str) -> None:
    if not bad.any():
        return
    where = np.argwhere(bad)[0]
    index = ", ".join(str(i) for i in where)
    raise ValueError(
        f"{name}[{index}] = {values[tuple(where)]:.6g}, {need} ({int(bad.sum()):,} of {bad.size:,} values)"
    )
