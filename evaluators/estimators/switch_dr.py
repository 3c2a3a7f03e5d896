"""SWITCH-DR: doubly robust where the weight is small, the model alone where it is large.

A threshold of 0 is the direct method, infinity is doubly robust. What the model gets wrong beyond
the threshold stays wrong, and the interval does not know it: where design ESS/n = 0.12 and the model
flatters the target, its one-sided 95 % lower bound errs 7-8 %. The original SWITCH sets IPS, not
doubly robust, against the model: sum_a target q 1{w > threshold} + w r 1{w <= threshold}; with a
model of zeros below the threshold the two agree.
Source: Wang, Agarwal & Dudik (2017), both variants.
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

    threshold: float = field(default=30.0, metadata={"ge": 0.0, "le": 1e12, "unit": "weight"})  # sqrt(n) at n = 900
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=assisted.Params)


def table(params: Params, rows: Rows, weight: Floats) -> Table:
    """Scores sum_a target q + w 1{w <= threshold} (r - q).

    Args:
        params: the threshold.
        rows: one target on one log, with `predicted`.
        weight: (c, k) target / behavior.

    Raises:
        ValueError: the rows carry no reward model.
    """
    model = modelled(rows, "switch_dr")
    trusted = np.where(weight > params.threshold, 0.0, weight)
    return Table(part=np.vecdot(rows.target, model), weight=trusted, model=model)
