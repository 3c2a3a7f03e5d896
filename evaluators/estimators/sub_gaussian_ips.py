"""Sub-Gaussian inverse propensity scoring: weights bent by a harmonic mean with 1.

A weight w becomes w / (1 - c + c w), smooth in w and below 1 / c; a correction c of 0 is IPS. At
c of the order sqrt(log(1 / error) / n) the value's error has sub-Gaussian tails where that of IPS
has not. The price is a bias towards the mean logged reward, which the interval does not know: where
design ESS/n = 0.12 it covers 85 % at n = 200 and 80 % at 2,000 instead of 95 %.
Source: Metelli, Russo & Restelli (2021), the power mean of their family with s = -1.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.intervals import t
from evaluators.rows import Floats, Rows
from evaluators.scores import Table

__all__ = ["Params", "harmonic", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    correction: float = field(default=0.01, metadata={"ge": 0.0, "le": 1.0, "unit": "1 / weight"})  # u < 100
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=t.Params)


def harmonic(weight: Floats, correction: float) -> Floats:
    """Weights bent towards 1; 0 stays 0.

    Args:
        weight: any shape, >= 0.
        correction: c in [0, 1].

    Raises:
        ValueError: a correction outside [0, 1].

    >>> harmonic(np.array([0.0, 1.0, 9.0]), 0.25)
    array([0., 1., 3.])
    """
    if not 0 <= correction <= 1:
        raise ValueError(f"correction = {correction:.6g}, need 0 <= correction <= 1")
    return np.divide(weight, 1 - correction + correction * weight, out=np.zeros_like(weight), where=weight != 0)


def table(params: Params, rows: Rows, weight: Floats) -> Table:
    """Scores u r, u = w / (1 - c + c w).

    Args:
        params: the correction c.
        rows: one target on one log; no reward model needed.
        weight: (c, k) target / behavior.

    Raises:
        ValueError: a correction outside [0, 1].
    """
    return Table(part=0.0, weight=harmonic(weight, params.correction))
