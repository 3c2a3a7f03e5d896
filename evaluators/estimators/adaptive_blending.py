"""Continuous adaptive blending (CAB): clipped IPS, and the model for what clipping takes away.

Of each action the share min(cap / w, 1) of the target's probability is judged by rewards, the rest
by the model, without a jump where SWITCH has one. A cap of infinity is IPS, 0 is the direct method.
It is biased only where weights exceed the cap and the model errs; the interval does not know that.
Slots that the logger could not take are the model's alone. The control variate of the default
interval takes much of the variance of w r away: where design ESS/n = 0.12 it covers 96-97 %, each
one-sided 95 % bound errs 3-5 %, and the error is that of doubly robust.
Source: Su, Wang, Santacatterina & Joachims (2019).
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

    max_weight: float = field(default=30.0, metadata={"ge": 0.0, "le": 1e12, "unit": "weight"})  # sqrt(n) at n = 900
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=assisted.Params)


def table(params: Params, rows: Rows, weight: Floats) -> Table:
    """Scores sum_a (target - behavior u) q + u r, u = min(w, max_weight).

    Args:
        params: the cap.
        rows: one target on one log, with `predicted` and the logger's whole distribution.
        weight: (c, k) target / behavior.

    Raises:
        ValueError: the rows carry no reward model, or propensities of the logged actions only.
    """
    model = modelled(rows, "adaptive_blending")
    if rows.is_partial:
        raise ValueError(
            "estimator adaptive_blending needs the logger's whole distribution of every row, got propensities of the "
            "logged actions only: the model's share is unknown; use shrunk_dr with kind: pessimistic"
        )
    clipped = np.minimum(weight, params.max_weight)
    return Table(part=np.vecdot(rows.target - rows.behavior * clipped, model), weight=clipped)
