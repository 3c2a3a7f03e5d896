"""Exact bounds for shares, and p-values adjusted for their number.

An exact bound never errs more often than it says, and is a bit wide.
Source: Clopper & Pearson (1934); Holm (1979).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

Floats = NDArray[np.float64]


class Bounds(NamedTuple):
    """Two ends of an interval, in the unit of what they bound."""

    lo: float
    hi: float


def clopper_pearson(
    hits: int,
    total: int,
    *,
    confidence: float = 0.95,
    side: str = "two",
) -> Bounds:
    """Exact bounds for a share; they hold for every true share and every size.

    Args:
        hits: how often it happened.
        total: out of how many; 0 gives the vacuous (0, 1).
        confidence: of the interval, or of the one bound asked for.
        side: "two", or "lower" for all error below (hi = 1), or "upper" (lo = 0).

    Raises:
        ValueError: hits outside [0, total], confidence outside (0, 1) or an unknown side.

    >>> clopper_pearson(1000, 1000, confidence=0.99, side="lower")
    Bounds(lo=0.9954..., hi=1.0)
    """
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} hits of {total}, need 0 <= hits <= total")
    if not 0 < confidence < 1 or side not in ("two", "lower", "upper"):
        raise ValueError(
            f"confidence = {confidence:.6g}, side = {side!r}; need 0 < confidence < 1 and a side of two, lower, upper"
        )
    alpha = (1 - confidence) / (2 if side == "two" else 1)
    lo = 0.0 if hits == 0 or side == "upper" else betaincinv(hits, total - hits + 1, alpha)
    hi = 1.0 if hits == total or side == "lower" else betaincinv(hits + 1, total - hits, 1 - alpha)
    return Bounds(float(lo), float(hi))


def holm(p_values: ArrayLike) -> Floats:
    """Step-down adjusted p-values: reject those <= alpha and the family-wise error is <= alpha.

    Args:
        p_values: (c,) raw p-values, under any dependence.

    Returns:
        (c,) adjusted p-values in the order given.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
