"""Replay: the mean reward of the rows whose logged action the target would have drawn.

As an estimator of sums it is the published case, a uniform logger and a target that is certain of
its action: the rows that match are then a log of the target itself. For any other logger or target
`replayed` thins the log by rejection, with one uniform per row and a declared largest weight; what
is left is an on-policy log for any estimator. Averaged over those uniforms rejection is `snips`,
which wastes no row: prefer it, unless a log that *is* the target's is what you need.
Source: Li, Chu, Langford & Wang (2011), algorithm 2; von Neumann (1951) for the rejection.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluators.intervals import hc3
from evaluators.rows import ROUNDING, Floats, Rows, check
from evaluators.scores import Table, importance

__all__ = ["Params", "replayed", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=hc3.Params)


def table(_: Params, rows: Rows, weight: Floats) -> Table:
    """Mean reward of the rows where the target takes the logged action for certain.

    Args:
        rows: one target on one log; no reward model needed.
        weight: (c, k) target / behavior; only its shape is read.

    Raises:
        ValueError: a target that is not certain of its action, or a logger that is not uniform over
            the window: matching rows would not be a sample of the target's.
    """
    c, k = weight.shape
    certain = rows.target > 1 - ROUNDING
    unsure = c - int(certain.any(axis=1).sum())
    if unsure:
        raise ValueError(
            f"estimator replay needs a target that takes one action of every row for certain, got {unsure:,} of {c:,} "
            "rows without one; use snips, or thin the log by replay.replayed"
        )
    lowest, highest = float(np.nanmin(rows.behavior)), float(np.nanmax(rows.behavior))
    if max(highest * k - 1, 1 - lowest * k) > ROUNDING:
        raise ValueError(
            f"estimator replay needs a logger that is uniform over the {k} slots of its window, got propensities from "
            f"{lowest:.4g} to {highest:.4g}; use snips, or thin the log by replay.replayed"
        )
    return Table(part=0.0, weight=certain.astype(np.float64), is_ratio=True)


def replayed(rng: np.random.Generator, rows: Rows, *, max_weight: float) -> Rows:
    """The rows that rejection keeps, each with chance w / max_weight: a log of the target itself.

    Args:
        rng: one uniform per row.
        rows: one target on one log, all of its probability on slots the logger could take.
        max_weight: no weight of the table may exceed it; declared, never the sample's maximum,
            which would let the rows choose the rule that keeps them. Shards of a log share it.

    Returns:
        The kept rows, about n / max_weight of them, the target as their logger.

    Raises:
        ValueError: as `rows.check`; a weight above max_weight; target mass that the logger never
            took; no row kept.
        TypeError: as `rows.check`.
    """
    rows = check(rows)
    weight = importance(rows.target, rows.behavior)
    largest = float(np.nanmax(weight))
    if not largest <= max_weight * (1 + ROUNDING):
        raise ValueError(f"a weight is {largest:.6g}, need <= max_weight = {max_weight:.6g}; declare the largest")
    supported = rows.target.sum(axis=1, where=rows.behavior != 0)
    if not np.all(supported >= 1 - ROUNDING):
        raise ValueError(
            f"the logger could take only {supported.min():.4g} of the target's mass on some row, need 1: what it never "
            "took cannot be replayed"
        )
    keep = rng.random(rows.reward.size) * max_weight < rows.at(weight)
    if not keep.any():
        raise ValueError(f"rejection kept none of {keep.size:,} rows at max_weight = {max_weight:.6g}; use snips")
    names = ["reward", "slot", "cluster", "row"]
    names += ["target", "predicted", "action_ids"] if rows.row is None else []
    kept: dict[str, Any] = {name: _kept(getattr(rows, name), keep) for name in names}
    thinned = rows._replace(**kept, is_partial=False)
    return thinned._replace(behavior=thinned.target)


def _kept(values: Any, keep: Any) -> Any:
    return None if values is None else values[keep]
