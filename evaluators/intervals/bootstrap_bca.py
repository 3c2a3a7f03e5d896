"""The bias-corrected, accelerated bootstrap: quantiles of resampled estimates, moved for bias and skew.

A self-normalised estimate is resampled whole, sum of weights included. The acceleration is the
jackknife's. Heavy weights that were not drawn it has not seen: where design ESS/n = 0.12 its
one-sided 95 % lower bound on doubly robust scores errs 12 % at n = 200 and 9 % at n = 2,000.
Source: Efron (1987), "Better bootstrap confidence intervals"; Efron & Tibshirani (1993), chapter 14.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr, ndtri

from evaluators.bootstrapping import check_tail, order_statistic, resampled, stderr_of
from evaluators.quantiles import Interval
from evaluators.rows import Floats
from evaluators.sums import Sums
from evaluators.units import Units, quotient, units_of

__all__ = ["Params", "bounds", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """How often, and by which seed, the log is resampled."""

    n_resamples: int = field(default=999, metadata={"ge": 19, "le": 10**6, "unit": "resamples"})
    seed: int = field(default=0, metadata={"ge": 0, "le": 2**32 - 1, "unit": "seed"})


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset({"scores"})


def bounds(params: Params, sums: Sums, confidence: float) -> Interval:
    """Two order statistics of the resampled estimates; clusters are resampled whole.

    Args:
        params: resamples.
        sums: of any estimator, with the scores kept.
        confidence: two-sided.

    Raises:
        ValueError: as `bootstrapping.check_tail` and `units.units_of`.
    """
    check_tail(params.n_resamples, confidence)
    units = units_of(sums)
    value, stderr = units.value(), stderr_of(units)
    shift = resampled(units, n_resamples=params.n_resamples, seed=params.seed).shift
    bias, bend = _bias(shift), acceleration(units)
    low, high = (_level(prob, bias=bias, bend=bend) for prob in ((1 - confidence) / 2, (1 + confidence) / 2))
    lo = value + order_statistic(shift, low, is_upper=False)
    hi = value + order_statistic(shift, high, is_upper=True)
    known = np.isfinite(stderr)
    return Interval(value, stderr, np.where(known, lo, -np.inf), np.where(known, hi, np.inf))


def acceleration(units: Units) -> Floats:
    """(...) sum u^3 / (6 (sum u^2)^1.5) of the jackknife's influences u; 0 where nothing varies."""
    left_out = np.nan_to_num(units.left_out() - units.value()[..., None])
    away = left_out.mean(axis=-1, keepdims=True) - left_out
    square, cube = np.vecdot(away, away), np.vecdot(away * away, away)
    return np.nan_to_num(quotient(cube, 6 * square**1.5))


def _bias(shift: Floats) -> Floats:
    """(...) normal quantile of the share of resamples below the estimate, ties and NaN half."""
    b = shift.shape[-1]
    below = (shift < 0).mean(axis=-1) + 0.5 * (~(np.abs(shift) > 0)).mean(axis=-1)
    return np.asarray(ndtri(np.clip(below, 0.5 / b, 1 - 0.5 / b)))


def _level(prob: float, *, bias: Floats, bend: Floats) -> Floats:
    """(...) share of the resamples below an end; 0 or 1 where the acceleration leaves no finite one."""
    moved = bias + ndtri(prob)
    rest = 1 - bend * moved
    return np.asarray(np.where(rest > 0, ndtr(bias + moved / np.where(rest > 0, rest, 1.0)), moved > 0), np.float64)
