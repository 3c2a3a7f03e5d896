"""Inverse propensity scoring: what a target would have earned, from another policy's log.

Unbiased when the logger could take every action the target may take; the price is variance, so
read `ess` before `value`. Shifting all rewards by c does not shift it by c (see `snips`).
Source: Horvitz & Thompson (1952); Dudik, Langford & Li (2011), section 3.
"""

from dataclasses import dataclass, field

from evaluators.intervals import t
from evaluators.rows import Floats, Rows
from evaluators.scores import Table

__all__ = ["Params", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=t.Params)


def table(_: Params, rows: Rows, weight: Floats) -> Table:
    """Scores w r.

    Args:
        rows: one target on one log; no reward model needed.
        weight: (c, k) target / behavior.
    """
    return Table(part=0.0, weight=weight)
