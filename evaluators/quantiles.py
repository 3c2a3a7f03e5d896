"""From a value and its variance to two ends: Student-t, and Hall's correction for skewness.

Every function takes finished numbers, plain or one per log. A t bound on heavy-tailed, skewed
scores errs on the heavy side; Hall's cubic moves both ends by the skew that was seen.
Source: Hall (1992), "On the removal of skewness by transformation".
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from evaluators.rows import Floats

FLAT = 1e-9  # a skew below this, over 3 sqrt(n), bends nothing


class Interval(NamedTuple):
    """A value and its ends, reward units, about the origin of its sums; plain or one per log."""

    value: Floats
    stderr: Floats
    lo: Floats
    hi: Floats


def t_quantile(prob: float, df: float) -> float:
    """Quantile of Student's t; infinite where fewer than one degree of freedom is left.

    Args:
        prob: probability below the quantile, 0 < prob < 1.
        df: degrees of freedom.

    Raises:
        ValueError: `prob` lies outside (0, 1).

    >>> round(t_quantile(0.975, 199), 4)
    1.972
    """
    if not 0 < prob < 1:
        raise ValueError(f"probability of a t quantile = {prob:.6g}, need 0 < p < 1")
    return float(stdtrit(df, prob)) if df >= 1 else float("inf")


def t_interval(value: Floats, variance: Floats, *, df: float, confidence: float) -> Interval:
    """Two-sided interval value +- t * stderr; the whole line where the error is unknown.

    Args:
        value: (...) point estimates.
        variance: (...) of them; infinite when the data cannot tell.
        df: degrees of freedom.
        confidence: two-sided confidence, e.g. 0.95.

    Raises:
        ValueError: `confidence` lies outside (0, 1).

    >>> t_interval(np.array(1.0), np.array(0.25), df=9, confidence=0.95).lo
    np.float64(-0.131...)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    value, stderr = np.asarray(value), np.sqrt(variance)
    half = _times(t_quantile(0.5 + confidence / 2, df), stderr)
    return Interval(value, stderr, value - half, value + half)


def hall_interval(value: Floats, variance: Floats, *, skew: Floats, n: int, confidence: float) -> Interval:
    """T interval with n - 1 degrees of freedom, its ends moved by Hall's cubic for a skewed mean.

    Args:
        value: (...) point estimates.
        variance: (...) of them.
        skew: (...) of the scores behind them.
        n: how many scores.
        confidence: two-sided confidence.

    Raises:
        ValueError: `confidence` lies outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    value, stderr, quantile = np.asarray(value), np.sqrt(variance), t_quantile(0.5 + confidence / 2, n - 1)
    if not np.isfinite(quantile):
        return t_interval(value, variance, df=0, confidence=confidence)
    bend = np.asarray(skew / (3 * np.sqrt(n)))
    bend = np.where(np.abs(bend) < FLAT, FLAT, bend)
    up, down = ((np.cbrt(1 + 3 * bend * (x - bend / 2)) - 1) / bend for x in (quantile, -quantile))
    return Interval(value, stderr, value - _times(up, stderr), value - _times(down, stderr))


def _times(quantile: Floats | float, stderr: Floats) -> Floats:
    """Quantile * stderr; infinite where either is, 0 where nothing varies for certain."""
    infinite = ~np.isfinite(stderr) | ~np.isfinite(quantile)
    with np.errstate(invalid="ignore"):
        product = np.asarray(quantile * stderr)
    certain = np.asarray(stderr) <= 0  # not where the error is NaN: unknown is never none
    return np.where(infinite & ~certain, np.copysign(np.inf, quantile), np.nan_to_num(product, nan=0.0))
