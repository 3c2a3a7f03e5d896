"""Self-normalised inverse propensity scoring: the weighted mean of the rewards.

Lies within the rewards seen and follows a shift of them, which IPS does not; biased by O(1/n).
Source: Hesterberg (1995).
"""

from dataclasses import dataclass, field

from evaluators.intervals import hc3
from evaluators.rows import Floats, Rows
from evaluators.scores import Table

__all__ = ["Params", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=hc3.Params)


def table(_: Params, rows: Rows, weight: Floats) -> Table:
    """Sum of w r over sum of w.

    Args:
        rows: one target on one log; no reward model needed.
        weight: (c, k) target / behavior.
    """
    return Table(part=0.0, weight=weight, is_ratio=True)
