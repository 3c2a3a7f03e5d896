"""The border of the decision log: what is let through, estimators may trust.

Every refusal names column, row, request, what was got, what was needed and, where it is
known, the likely mend. Whether the rows kept to limits and trust region is the audit's question.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.lattice import MAX_ACTIONS, Lattice
from evaluators.decisions import COLUMNS, DTYPES, FEEDBACK, Column, DecisionLog
from policies.masses import TOTAL

__all__ = ["check_log"]

_MAY_BE_EMPTY = ("model",)
_SHARES = ("quality", "failure", "truncated")
_COUNTS = ("evaluation", "output_tokens", "latency_ms", "cost_usd")
_SHOWN = 60  # characters of a value that a message shows
_IDS = ("action_id", "centre", "action_ids")


def check_log(log: DecisionLog, *, lattice: Lattice | None = None, may_lack_feedback: bool = False) -> DecisionLog:
    """Refuse a log that can't be judged; pass the rest on with its array types settled.

    Args:
        log: what a file or a run handed over.
        lattice: if given, every action must lie on it.
        may_lack_feedback: let rows pass whose outcome and reward are NaN throughout: feedback that never
            came. An audit can read them; an estimator can't (see `DecisionLog.is_answered`).

    Raises:
        ValueError: no rows, shapes that disagree, NaN elsewhere, a request id that stands twice, an empty
            text, a share outside 0..1, a negative count, masses that do not sum to 2^20 or lie
            off the mask, an action outside the grid or its window, a propensity outside (0, 1]
            or other than mass / 2^20, a uniform outside [0, 2^20).
        TypeError: a column of the wrong kind.
    """
    log = replace(log, **{name: _settled(getattr(log, name), column) for name, column in COLUMNS.items()})
    _check_shapes(log)
    _check_values(log, may_lack_feedback)
    _check_window(log, lattice)
    _check_draw(log)
    return log


def _settled(values: Any, column: Column) -> NDArray[Any]:
    array = np.asarray(values)
    allowed = {"text": "OUT", "float": "fiu", "int32": "iu", "int64": "iu", "bool": "b", "time": "M"}[column.kind]
    if array.dtype.kind not in allowed:
        raise TypeError(f"{column.name} has dtype {array.dtype}, need {DTYPES[column.kind]}")
    settled = array.astype(DTYPES[column.kind])
    if column.kind in ("int32", "int64", "time"):
        bad = (settled != array) & ~np.isnat(array) if column.kind == "time" else settled != array
        if bad.any():
            at = np.argwhere(bad)[0]
            need = f"a value that {DTYPES[column.kind]} can hold exactly"
            raise ValueError(f"{column.name}, row {at[0]} = {array[tuple(at)]}, need {need}")
    return settled


def _check_shapes(log: DecisionLog) -> None:
    n = len(log)
    if n == 0:
        raise ValueError("the log has no rows, need at least one decision")
    for name, column in COLUMNS.items():
        shape = getattr(log, name).shape
        if len(shape) != 1 + column.is_list or shape[0] != n or 0 in shape:
            need = f"({n}, at least 1)" if column.is_list else f"({n},)"
            raise ValueError(f"{column.name} has shape {shape}, need {need}, one row per request id")
    k = log.masses.shape[1]
    for name in ("action_ids", "mask"):
        if getattr(log, name).shape[1] != k:
            got = getattr(log, name).shape[1]
            raise ValueError(f"{COLUMNS[name].name} has {got} slots, need {k}, as {COLUMNS['masses'].name} has")


def _refuse(log: DecisionLog, name: str, bad: NDArray[np.bool_], need: str) -> None:
    """Name the first bad row of a column; `bad` is (n,) or (n, k)."""
    if not bad.any():
        return
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    values = getattr(log, name)
    got = " ".join(str(values[at]).split())
    where = f"row {at[0]}" + (f", entry {at[1]}" if len(at) > 1 else "")
    n_bad = int(bad.reshape(len(bad), -1).any(axis=1).sum())
    raise ValueError(
        f"{COLUMNS[name].name}, {where} (request {log.request_id[at[0]]!r}) = {got[:_SHOWN]}, need {need} "
        f"({n_bad} of {len(log)} rows)"
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def _check_values(log: DecisionLog, may_lack_feedback: bool) -> None:
    excused = ~log.is_answered & may_lack_feedback
    for name, column in COLUMNS.items():
        values = getattr(log, name)
        if column.kind == "text":
            _refuse(log, name, np.array([not _is_text(v) for v in values]), "text that UTF-8 can hold")
            if name not in _MAY_BE_EMPTY:
                _refuse(log, name, np.array([v == "" for v in values]), "a text that is not empty")
        if column.kind == "time":
            _refuse(log, name, np.isnat(values), "a time")
        if column.kind == "float":
            bad = ~np.isfinite(values) & ~(excused if name in FEEDBACK else np.zeros_like(values, np.bool_))
            need = "a finite number"
            _refuse(log, name, bad, f"{need}; drop rows whose feedback never came" if name in FEEDBACK else need)
    order, first = np.unique(log.request_id, return_index=True)
    if len(order) < len(log):
        again = np.ones(len(log), np.bool_)
        again[first] = False
        _refuse(log, "request_id", again, "each request once; was the log written twice or a file read twice?")
    for name in _SHARES:
        _refuse(log, name, (getattr(log, name) < 0) | (getattr(log, name) > 1), "a share in [0, 1]")
    for name in _COUNTS:
        _refuse(log, name, getattr(log, name) < 0, "a number >= 0")


def _outside(ids: NDArray[np.int32], size: int) -> NDArray[np.bool_]:
    return np.asarray((ids < 0) | (ids >= size), np.bool_)


def _check_window(log: DecisionLog, lattice: Lattice | None) -> None:
    size = MAX_ACTIONS if lattice is None else lattice.size
    need = f"an action on the grid, 0 <= id < {size}; was the log written with another lattice?"
    for name in _IDS:
        _refuse(log, name, _outside(getattr(log, name), size), need)
    _refuse(log, "mask", log.mask.sum(axis=1) == 0, "at least one feasible slot")
    inside = ((log.action_ids == log.action_id[:, None]) & log.mask).any(axis=1)
    _refuse(log, "action_id", ~inside, "a feasible action of the row's window")
    _refuse(log, "centre", (log.action_ids != log.centre[:, None]).all(axis=1), "an action of the row's window")
    apart = np.where(log.mask, log.action_ids, -1 - np.arange(log.mask.shape[1]))
    twice = (np.diff(np.sort(apart, axis=1), axis=1) == 0).any(axis=1)
    _refuse(log, "action_ids", twice, "each feasible action once")


def _check_draw(log: DecisionLog) -> None:
    outside = (log.propensity <= 0) | (log.propensity > 1)
    _refuse(log, "propensity", outside, "0 < p <= 1; was the logger deterministic, or a log-probability stored?")
    _refuse(log, "uniform", (log.uniform < 0) | (log.uniform >= TOTAL), f"an integer in [0, {TOTAL})")
    _refuse(log, "masses", log.masses < 0, "a mass >= 0")
    _refuse(log, "masses", (log.masses > 0) & ~log.mask, "0 on an infeasible slot; was it drawn before the mask?")
    total = log.masses.sum(axis=1, dtype=np.int64)
    if (total != TOTAL).any():
        row = int(np.argmax(total != TOTAL))
        raise ValueError(
            f"{COLUMNS['masses'].name}, row {row} (request {log.request_id[row]!r}) sums to {total[row]}, need exactly "
            f"{TOTAL} ({int((total != TOTAL).sum())} of {len(log)} rows); use policies.masses.integer_masses"
        )
    exact = log.masses[np.arange(len(log)), log.slot] / TOTAL
    need = "mass / 2^20 of the action; was the traffic split or the floor left out?"
    _refuse(log, "propensity", log.propensity != exact, need)
