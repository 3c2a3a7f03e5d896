"""Sub-Gaussian doubly robust value: the model's opinion, corrected by harmonically bent weights.

A correction of 0 is doubly robust; the larger it is, the more of the model's error stays in the
value, which the interval does not know: where design ESS/n = 0.12 and the model flatters the target,
its one-sided 95 % lower bound errs 7-8 %. The weights are those of `sub_gaussian_ips`.
Source: Metelli, Russo & Restelli (2021), s = -1, in place of the weight of Dudik, Langford & Li
(2011), equation 6.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.estimators.sub_gaussian_ips import harmonic
from evaluators.intervals import assisted
from evaluators.reward_model import modelled
from evaluators.rows import Floats, Rows
from evaluators.scores import Table

__all__ = ["Params", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    correction: float = field(default=0.01, metadata={"ge": 0.0, "le": 1.0, "unit": "1 / weight"})  # u < 100
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=assisted.Params)


def table(params: Params, rows: Rows, weight: Floats) -> Table:
    """Scores sum_a target q + u (r - q), u = w / (1 - c + c w).

    Args:
        params: the correction c.
        rows: one target on one log, with `predicted`.
        weight: (c, k) target / behavior.

    Raises:
        ValueError: the rows carry no reward model, or a correction outside [0, 1].
    """
    model = modelled(rows, "sub_gaussian_dr")
    part = np.vecdot(rows.target, model)
    return Table(part=part, weight=harmonic(weight, params.correction), model=model)
