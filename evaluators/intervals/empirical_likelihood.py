"""Empirical likelihood: every value that some reweighting of the log, not too unlikely, would give.

Weights p_i on what was seen, sum p_i = 1, are as likely as prod n p_i; a value stays in the interval
while the likeliest weights that give it are at least exp(-t^2 / 2), t Student's quantile with n - 1
degrees of freedom. The ends follow the skew of the data and never leave the range of the scores (of
the rewards seen, for a self-normalised estimator), which also is its limit: where design ESS/n =
0.12 the one-sided 95 % lower bound on doubly robust scores errs 10 % at n = 200, 8 % at n = 2,000.
Source: Owen (1988; 2001, "Empirical likelihood", sections 2.9, 3.3 and 4.4).
"""

from dataclasses import dataclass

import numpy as np

from evaluators.bootstrapping import stderr_of
from evaluators.quantiles import Interval, t_quantile
from evaluators.rows import Floats
from evaluators.sums import Sums
from evaluators.units import units_of

__all__ = ["Params", "bounds", "needs"]

ENTRIES = 2**15  # of a block of logs
STEPS, CLOSE = 100, 1e-9  # at most, until the root of the likelihood ratio is as close as that


@dataclass(frozen=True, slots=True)
class Params:
    """No numbers of its own."""


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset({"scores"})


def bounds(_: Params, sums: Sums, confidence: float) -> Interval:
    """All values theta for which weights with sum p_i (a_i - theta b_i) = 0 are likely enough.

    Args:
        sums: with the scores kept: a mean of scores (b = 1), or self-normalised without a model part
            (a = u e, b = u); clusters are reweighted whole.
        confidence: two-sided.

    Raises:
        ValueError: confidence outside (0, 1), sums without scores, or a self-normalised estimator
            with a model part, which is no single ratio.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    units = units_of(sums)
    if len(units.ratios) > 1:
        raise ValueError(
            "empirical likelihood needs a mean of scores or a single ratio, got a self-normalised estimator with a "
            "model part; use bootstrap_t"
        )
    value, stderr, columns = units.value(), stderr_of(units), units.columns()
    root = t_quantile(0.5 + confidence / 2, units.size - 1)
    under, away = (columns[..., j, :].reshape(-1, units.size) for j in (0, 1))
    down, up = (_reaches(side, under, root).reshape(value.shape) for side in (-away, away))
    known = np.isfinite(stderr)
    return Interval(value, stderr, np.where(known, value - down, -np.inf), np.where(known, value + up, np.inf))


def _reaches(away: Floats, under: Floats, root: float) -> Floats:
    """(logs,) how far up each log's interval reaches, in blocks that fit a core's cache."""
    if not np.isfinite(root):
        return np.full(len(away), np.inf)
    size = max(ENTRIES // away.shape[1], 1)
    parts = [_reach(away[i : i + size], under[i : i + size], root) for i in range(0, len(away), size)]
    return np.concatenate(parts)


def _reach(away: Floats, under: Floats, root: float) -> Floats:
    """(logs,) t > 0 at which the root of the likelihood ratio is `root`; away sums to 0.

    Newton's steps on t, each within what is known to hold the end, or half of that; the multiplier
    of the last step begins the next.
    """
    n, deviation = away.shape[1], np.sqrt(np.square(away).mean(axis=1))
    varies = deviation > 0
    scale = np.where(varies, deviation, 1.0) / np.where(varies, under.mean(axis=1), 1.0)
    a, b = away / np.where(varies, deviation, 1.0)[:, None], under * (scale / np.where(varies, deviation, 1.0))[:, None]
    # beyond the largest a / b no weights give the value
    most = np.max(np.divide(a, b, out=np.zeros_like(a), where=b > 0), axis=1)
    low, high, at = np.zeros(len(a)), most, np.minimum(root / np.sqrt(n), most / 2)
    multiplier = np.zeros(len(a))
    for _ in range(STEPS):
        gap = a - at[:, None] * b
        multiplier = _multiplier(gap, multiplier)
        share = 1 + multiplier[:, None] * gap
        ratio = np.sqrt(np.maximum(2 * np.log(share).sum(axis=1), 0.0))
        if np.all((np.abs(ratio - root) <= CLOSE) | ~varies | (high - low <= 1e-12 * most)):
            break
        low, high = np.where(ratio < root, at, low), np.where(ratio < root, high, at)
        slope = -multiplier * (b / share).sum(axis=1)
        step = at - np.divide((ratio - root) * ratio, slope, out=np.full_like(at, np.inf), where=slope > 0)
        at = np.where((step > low) & (step < high), step, (low + high) / 2)
    return np.where(varies, at * scale, 0.0)


def _multiplier(gap: Floats, start: Floats) -> Floats:
    """(logs,) lambda < 0 with sum gap / (1 + lambda gap) = 0, for gaps of negative mean.

    That sum falls as lambda rises and the root leaves no weight above 1, so Newton's steps are kept
    within a bracket that begins at (1 / n - 1) / max gap.
    """
    n, top = gap.shape[1], gap.max(axis=1)
    low, high = (1 / n - 1) / np.where(top > 0, top, 1.0), np.zeros(len(gap))
    at = np.where((start > low) & (start < high), start, low / 2)
    for _ in range(STEPS):
        bent = gap / (1 + at[:, None] * gap)
        total, steep = bent.sum(axis=1), np.square(bent).sum(axis=1)
        low, high = np.where(total > 0, at, low), np.where(total > 0, high, at)
        step = at + total / np.where(steep > 0, steep, 1.0)
        inside = (step > low) & (step < high)
        moved = np.where(inside, step, (low + high) / 2)
        if np.all(np.abs(moved - at) <= 1e-13 * np.abs(at)):
            break
        at = moved
    return at
