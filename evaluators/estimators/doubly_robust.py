"""Doubly robust value: the model's opinion, corrected by what the log saw of its errors.

Unbiased with logged propensities whatever the (cross-fitted) model says; a good model lowers the
variance.
Source: Dudik, Langford & Li (2011), equation 6.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.intervals import assisted
from evaluators.reward_model import modelled
from evaluators.rows import Floats, Rows
from evaluators.scores import Table

__all__ = ["Params", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=assisted.Params)


def table(_: Params, rows: Rows, weight: Floats) -> Table:
    """Scores sum_a target q + w (r - q).

    Args:
        rows: one target on one log, with `predicted`.
        weight: (c, k) target / behavior.

    Raises:
        ValueError: the rows carry no reward model.
    """
    model = modelled(rows, "doubly_robust")
    return Table(part=np.vecdot(rows.target, model), weight=weight, model=model)
