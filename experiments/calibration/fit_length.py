"""Lengths of answers: a mixture of one or two log-normals by maximum likelihood, cut-off answers counted as such.

An answer cut off at max_tokens says that it would have been at least that long. A whole
number of units stands for the interval around it, so repeated lengths cannot make a
component infinitely narrow. Where several temperatures were recorded, the mean log length
may run away past a temperature: a logistic step, kept if it pays for its three numbers.
Source: Dempster, Laird & Rubin (1977) for mixtures; Kaplan & Meier (1958) for held-out lengths.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_ndtr, logsumexp, ndtr

from experiments.calibration.fitting import Range, default_of, range_of

__all__ = [
    "LengthRows",
    "Mixture",
    "Runaway",
    "apart",
    "distance",
    "fit_mixture",
    "fit_runaway",
    "mixture_cdf",
    "observed_cdf",
]

Floats = NDArray[np.float64]
LEAST_RUNAWAY_HEATS = 4  # distinct temperatures
LEAST_SD = 0.02  # of a component's log length: narrower is one repeated answer, not a law


class LengthRows(NamedTuple):
    """n answers: (n,) tokens, whether cut off there, temperature or NaN; and half a recorded unit, in tokens."""

    tokens: Floats
    is_cut: NDArray[np.bool_]
    heat: Floats
    half_unit: float


class Runaway(NamedTuple):
    """Log tokens gained past a temperature: `gain` * logistic((T - onset) / width); gain 0: none seen.

    Attributes:
        gain: log tokens.
        onset: temperature of half the gain.
        width: temperature.
        misfit_saved: twice the log likelihood it adds over no step; 0 where it was not tried.
    """

    gain: float
    onset: float
    width: float
    misfit_saved: float

    def at(self, heat: Floats) -> Floats:
        """Log tokens gained at temperatures (n,); 0 where a temperature is NaN."""
        gained = self.gain * expit((np.nan_to_num(heat) - self.onset) / self.width)
        return np.where(np.isfinite(heat), gained, 0.0)


class Mixture(NamedTuple):
    """Log-normal components in order of weight: (j,) weight, median (tokens), SD of ln; log likelihood of n rows."""

    weight: tuple[float, ...]
    median: tuple[float, ...]
    sd: tuple[float, ...]
    log_likelihood: float
    n: int


class _Intervals(NamedTuple):
    """Distinct observations: ends of each in log tokens (inf where cut off), how often each was seen."""

    low: Floats
    high: Floats
    times: Floats


def _ends(rows: LengthRows) -> tuple[Floats, Floats]:
    """(n,) least and largest log length that each answer may have."""
    low = np.log(np.maximum(rows.tokens - rows.half_unit, 0.5 * rows.half_unit))
    high = np.where(rows.is_cut, np.inf, np.log(rows.tokens + rows.half_unit))
    return np.where(rows.is_cut, np.log(rows.tokens), low), high


def _intervals(rows: LengthRows, gained: Floats) -> _Intervals:
    ends, count = np.unique(np.stack(_ends(rows), axis=1) - gained[:, None], axis=0, return_counts=True)
    return _Intervals(ends[:, 0], ends[:, 1], count.astype(np.float64))


def _log_between(low: Floats, high: Floats) -> Floats:
    """Logarithm of the normal probability of (low, high), exact far out in either tail."""
    flip = low + np.where(np.isfinite(high), high, low) > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    upper, lower = log_ndtr(b), log_ndtr(a)
    return np.asarray(upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-15))))


def _log_likelihood(seen: _Intervals, weight: Floats, centre: Floats, sd: Floats) -> float:
    low = (seen.low[:, None] - centre) / sd
    high = (seen.high[:, None] - centre) / sd
    each = logsumexp(_log_between(low, high) + np.log(weight), axis=1)
    return float(np.sum(seen.times * np.maximum(each, -700.0)))


def _best(objective: object, starts: Sequence[Floats], bounds: Sequence[tuple[float, float]]) -> tuple[Floats, float]:
    """The lowest end of several bounded searches."""
    ends = [minimize(objective, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    found = min(ends, key=lambda end: end.fun)
    return np.asarray(found.x), float(found.fun)


def _spread(rows: LengthRows, gained: Floats) -> tuple[float, float]:
    """Mean and SD of the recorded log lengths."""
    log = np.log(np.maximum(rows.tokens, rows.half_unit)) - gained
    return float(log.mean()), max(float(log.std()), 0.05)


def fit_mixture(rows: LengthRows, *, components: int, runaway: Runaway) -> Mixture:
    """One or two log-normals, at the reference (no runaway).

    Raises:
        ValueError: fewer than two rows that were not cut off.
    """
    if int(np.sum(~rows.is_cut)) < 2:
        raise ValueError(f"{int(np.sum(~rows.is_cut))} lengths that were not cut off, need at least 2")
    gained = runaway.at(rows.heat)
    seen, (mean, sd) = _intervals(rows, gained), _spread(rows, gained)
    sds, medians = range_of("length_sd_1"), range_of("length_median_1")
    bounds = [(math.log(medians.low), math.log(medians.high)), (math.log(LEAST_SD), math.log(sds.high))]
    n = len(rows.tokens)
    if components == 1:

        def one(theta: Floats) -> float:
            return -_log_likelihood(seen, np.ones(1), theta[:1], np.exp(theta[1:])) / n

        end, cost = _best(one, [np.array([mean, math.log(sd)])], bounds)
        return Mixture((1.0,), (math.exp(end[0]),), (math.exp(end[1]),), -cost * n, n)

    def two(theta: Floats) -> float:
        weight = np.array([expit(theta[4]), expit(-theta[4])])
        return -_log_likelihood(seen, weight, theta[[0, 1]], np.exp(theta[[2, 3]])) / n

    log = np.log(np.maximum(rows.tokens, rows.half_unit)) - gained
    end, cost = _best(two, _two_starts(log, sd), [bounds[0], bounds[0], bounds[1], bounds[1], (-8.0, 8.0)])
    share, order = float(expit(end[4])), [0, 1] if end[4] >= 0 else [1, 0]
    weight = np.array([share, 1.0 - share])[order]
    median, spread = np.exp(end[[0, 1]])[order], np.exp(end[[2, 3]])[order]
    return Mixture(tuple(weight.tolist()), tuple(median.tolist()), tuple(spread.tolist()), -cost * n, n)


def _two_starts(log: Floats, sd: float) -> list[Floats]:
    """Broad and narrow components at different quantiles."""
    q = {share: float(np.quantile(log, share)) for share in (0.1, 0.25, 0.5, 0.75, 0.9)}
    wide, narrow = math.log(sd), math.log(0.15 * sd)
    return [
        np.array([q[0.25], q[0.75], math.log(0.5 * sd), math.log(0.5 * sd), 0.0]),
        np.array([q[0.5], q[0.75], wide, narrow, 1.0]),
        np.array([q[0.25], q[0.9], math.log(0.7 * sd), narrow, 1.0]),
        np.array([q[0.5], q[0.1], wide, narrow, 1.0]),
        np.array([q[0.5], q[0.5], math.log(0.5 * sd), math.log(1.5 * sd), 1.0]),
    ]


def fit_runaway(rows: LengthRows) -> Runaway:
    """The step of mean log length over temperature, from one log-normal whose median may step up.

    Kept if twice the log likelihood it adds exceeds three times the logarithm of the rows (Schwarz 1978),
    and only where four temperatures or more were recorded.
    """
    none = Runaway(0.0, default_of("cliff") + default_of("runaway_shift"), default_of("runaway_width"), 0.0)
    heats = np.unique(rows.heat[np.isfinite(rows.heat)])
    if len(heats) < LEAST_RUNAWAY_HEATS:
        return none
    (mean, sd), n = _spread(rows, np.zeros(len(rows.tokens))), len(rows.tokens)
    gains, widths = range_of("runaway"), range_of("runaway_width")
    low, high = _ends(rows)
    each = np.ones(n)
    onset = Range(0.05, float(heats[-1]) + 0.3)

    def cost(theta: Floats) -> float:
        gained = Runaway(float(theta[2]), float(theta[3]), math.exp(theta[4]), 0.0).at(rows.heat)
        seen = _Intervals(low - gained, high - gained, each)
        return -_log_likelihood(seen, np.ones(1), theta[:1], np.exp(theta[1:2])) / n

    middles = [float(heats[i]) for i in (len(heats) // 2, -2, -1)]
    starts = [np.array([mean, math.log(sd), 0.3, middle, math.log(0.08)]) for middle in middles]
    wide = [
        (-20.0, 20.0),
        (math.log(LEAST_SD), math.log(range_of("length_sd_1").high)),
        gains,
        onset,
        (math.log(0.02), math.log(widths.high)),
    ]
    end, best = _best(cost, starts, [(float(low), float(high)) for low, high in wide])
    plain = fit_mixture(rows, components=1, runaway=none)
    saved = 2.0 * (-best * n - plain.log_likelihood)
    if saved < 3.0 * math.log(n):
        return none._replace(misfit_saved=max(saved, 0.0))
    return Runaway(float(end[2]), float(end[3]), math.exp(end[4]), saved)


def mixture_cdf(found: Mixture, tokens: Floats) -> Floats:
    """(m,) share of answers no longer than each of (m,) lengths."""
    z = (np.log(tokens)[:, None] - np.log(found.median)) / np.array(found.sd)
    return np.asarray(ndtr(z) @ np.array(found.weight))


def observed_cdf(tokens: Floats, is_cut: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Distinct lengths (m,) and share of answers no longer (m,), cut-off answers taken out as they are reached."""
    at, place = np.unique(tokens, return_inverse=True)
    ended = np.bincount(place.reshape(-1), weights=~is_cut)
    left = np.cumsum(np.bincount(place.reshape(-1))[::-1])[::-1]
    return at, np.asarray(1.0 - np.cumprod(1.0 - ended / left), np.float64)


def _at_reference(rows: LengthRows, runaway: Runaway) -> Floats:
    """(n,) lengths without runaway; a whole number of units at the end of its interval, so rounding is no misfit."""
    return np.where(rows.is_cut, rows.tokens, rows.tokens + rows.half_unit) * np.exp(-runaway.at(rows.heat))


def distance(found: Mixture, rows: LengthRows, *, runaway: Runaway) -> float:
    """Kolmogorov distance between a fit and held-out lengths, both taken back to the reference temperature."""
    at, share = observed_cdf(_at_reference(rows, runaway), rows.is_cut)
    return float(np.max(np.abs(share - mixture_cdf(found, at))))


def apart(here: LengthRows, there: LengthRows, *, runaway: Runaway) -> float:
    """Kolmogorov distance between two samples: what sampling alone does to `distance`."""
    at, share = observed_cdf(_at_reference(here, runaway), here.is_cut)
    other_at, other = observed_cdf(_at_reference(there, runaway), there.is_cut)
    every = np.union1d(at, other_at)
    steps = [
        np.concatenate([[0.0], s])[np.searchsorted(a, every, side="right")] for a, s in ((at, share), (other_at, other))
    ]
    return float(np.max(np.abs(steps[0] - steps[1])))
