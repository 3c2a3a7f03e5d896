"""The control variate and the model variance: what intervals that hold for 200 rows are made of.

The weight's expectation is known where the logger's distribution is, so c = u - E[u|x] has mean 0
and the score may be regressed on it. The *model variance* counts the heavy weights that were possible
but not drawn: the logger's distribution and the declared range of the reward give the shape of the
residual variance, the residuals seen give its level kappa. A plain t interval's one-sided 95 %
lower bound errs 10 % of the time where design ESS/n = 0.12.
Source: Kong, McCullagh, Meng, Nicolae & Tan (2003) for control variates of weights;
MacKinnon & White (1985) for HC3.
"""

from math import comb
from typing import NamedTuple

import numpy as np

from evaluators.clusters import Clusters
from evaluators.rows import Floats
from evaluators.sums import CENTRE, PART, TERM, Sums, U

ROUNDING = 1e-14  # of a sum of squares: a smaller sum about the mean is what rounding left


class Adjusted(NamedTuple):
    """A mean of scores regressed on the control variate; reward units, about the sums' origin."""

    value: Floats
    slope: Floats
    square: Floats  # sum of squared regression residuals
    skew: Floats  # of the regression residuals
    hc3: Floats  # HC3 variance of the value: exact to the third order in the leverage, never below it


def mean(sums: Sums) -> Floats:
    """What the scores estimate, about the origin: their mean, or a ratio's mean part and weighted residual."""
    if not sums.is_ratio:
        return np.asarray(sums.powers[..., 1, 0] / sums.n)
    total = sums.gram[..., 0, U]
    ratio = np.divide(sums.gram[..., 0, TERM], total, out=np.full_like(total, np.nan), where=total > 0)
    return np.asarray(sums.gram[..., 0, PART] / sums.n + ratio)


def sample_variance(total: Floats, square: Floats, n: int) -> Floats:
    """(...) variance (n - 1) from a sum and a sum of squares; infinite for a single row."""
    if n < 2:
        return np.full_like(total, np.inf)
    found = square - total**2 / n
    return np.where(found > ROUNDING * square, found, 0.0) / (n - 1)


def score_variance(sums: Sums) -> Floats:
    """(...) sample variance of the scores; infinite where nothing varied because no row had weight."""
    found = sample_variance(sums.powers[..., 1, 0], sums.powers[..., 2, 0], sums.n)
    return np.where((np.asarray(sums.weights.square) == 0) & (found == 0), np.inf, found)


def model_variance(sums: Sums, slope: Floats | float = 0.0) -> Floats:
    """(...) variance of the mean score that the logger's distribution and the model expect.

    Args:
        sums: of scores y = part + u e with c = u - centre.
        slope: (...) of the regression on c; 0: none.

    Returns:
        [var(part + slope centre) + kappa mean_i sum_a pi_b u^2 v] / n, squared reward units.

    Raises:
        ValueError: the sums lack a declared range or the logger's whole distribution.
    """
    refuse_unknown(sums)
    slope, gram = np.asarray(slope), sums.gram
    total = gram[..., 0, PART] + slope * gram[..., 0, CENTRE]
    square = gram[..., PART, PART] + 2 * slope * gram[..., PART, CENTRE] + slope**2 * gram[..., CENTRE, CENTRE]
    part = sample_variance(total, square, sums.n)
    return np.asarray((part + kappa(sums, slope) * sums.design / sums.n) / sums.n)


def kappa(sums: Sums, slope: Floats | float = 0.0) -> Floats:
    """(...) level of the residual variance over its shape v; 1, the most possible, if unseen."""
    size, first, second, spread = np.moveaxis(sums.residual, -1, 0)
    seen = np.asarray(second - 2 * np.asarray(slope) * first + np.square(slope) * size)
    return np.asarray(np.divide(seen, spread, out=np.ones_like(seen), where=spread > 0))


def refuse_unknown(sums: Sums) -> None:
    """Refuse sums that no model variance can be had from.

    Raises:
        ValueError: no declared range, a self-normalised estimator, or a logger known in part.
    """
    if sums.is_ratio:
        raise ValueError("the interval is for a mean of scores, got a self-normalised estimator; use hc3")
    if sums.reward_range is None:
        raise ValueError("the interval needs a declared reward range, got none; declare rows.reward_range or use hall")
    if not np.all(np.isfinite(sums.design)):
        raise ValueError(
            "the interval needs the logger's whole distribution of every row, got propensities of the logged "
            "actions only (or sums made for a t interval); use hall"
        )


def adjust(sums: Sums) -> Adjusted:
    """Regress the scores on the control variate; no slope where the weight does not vary or its mean is unknown.

    Raises:
        ValueError: a self-normalised estimator.
    """
    if sums.is_ratio:
        raise ValueError("the interval is for a mean of scores, got a self-normalised estimator; use hc3")
    n, moment = sums.n, central(sums)
    varies = np.isfinite(moment[..., 0, 2]) & (moment[..., 0, 2] > 1e-14 * np.maximum(sums.powers[..., 0, 2], 1.0))
    if not np.all(varies):
        moment = np.where(varies[..., None, None], moment, _without_control(sums))
    spread = np.where(varies, moment[..., 0, 2], 1.0)
    slope = moment[..., 1, 1] / spread
    offset = np.where(varies, sums.powers[..., 0, 1] / n, 0.0)
    square = np.maximum(moment[..., 2, 0] - slope * moment[..., 1, 1], 0.0)
    cube = moment[..., 3, 0] - 3 * slope * moment[..., 2, 1] + 3 * slope**2 * moment[..., 1, 2]
    cube = cube - slope**3 * moment[..., 0, 3]
    scale = np.where(square > 0, square / n, 1.0) ** 1.5
    value = sums.powers[..., 1, 0] / n - slope * offset
    return Adjusted(value, slope, square, cube / n / scale, _hc3(sums, moment, slope=slope, offset=offset))


def _without_control(sums: Sums) -> Floats:
    """(..., 4, 9) central moments with c left out: powers of y alone in the first column."""
    alone = np.zeros_like(sums.powers)
    alone[..., :, 0] = sums.powers[..., :, 0]
    shifted = _shift(sums.powers[..., 1, 0] / sums.n, alone.shape[-2]) @ alone
    return np.asarray(shifted)


def central(sums: Sums) -> Floats:
    """(..., 4, 9) sums of (y - mean)^i (c - mean)^j."""
    powers, n = sums.powers, sums.n
    rows = _shift(powers[..., 1, 0] / n, powers.shape[-2])
    columns = _shift(powers[..., 0, 1] / n, powers.shape[-1])
    return np.asarray(rows @ powers @ np.swapaxes(columns, -1, -2))


def _shift(by: Floats, size: int) -> Floats:
    """(..., size, size) matrix that turns sums of x^j into sums of (x - by)^i."""
    found = np.zeros((*np.shape(by), size, size))
    for i in range(size):
        for j in range(i + 1):
            found[..., i, j] = comb(i, j) * (-by) ** (i - j)
    return found


def _hc3(sums: Sums, moment: Floats, *, slope: Floats, offset: Floats) -> Floats:
    """Sum of l^2 rho^2 / (1 - h)^2, its series in the leverage h cut after the first power, the rest bounded."""
    n, spread = sums.n, np.where(moment[..., 0, 2] > 0, moment[..., 0, 2], 1.0)
    far = np.maximum(*np.moveaxis(np.abs(sums.ends - offset[..., None]), -1, 0))
    top = 1 / n + np.where(moment[..., 0, 2] > 0, far**2 / spread, 0.0)
    squares = [
        moment[..., 2, j] - 2 * slope * moment[..., 1, j + 1] + slope**2 * moment[..., 0, j + 2] for j in range(7)
    ]
    share = offset / spread
    # line[m] = sum of l^2 rho^2 d^(2 m), with l = 1 / n - share d and h = 1 / n + d^2 / spread
    line = [squares[j] / n**2 - 2 * share / n * squares[j + 1] + share**2 * squares[j + 2] for j in (0, 2, 4)]
    first = line[0] / n + line[1] / spread
    second = line[0] / n**2 + 2 * line[1] / (n * spread) + line[2] / spread**2
    safe = np.minimum(top, 1 - 1e-9)
    # sum_{j >= 2} (j + 1) h^j <= h^2 (3 - 2 top) / (1 - top)^2
    found = line[0] + 2 * first + second * (3 - 2 * safe) / (1 - safe) ** 2
    return np.where(top < 1 - 1e-9, np.maximum(found, 0.0), np.inf)


def clustered(sums: Sums, variance: Floats, *, df: int, slope: Floats | float = 0.0) -> tuple[Floats, int]:
    """The larger of a variance and the cluster-robust one, with G - 1 degrees of freedom.

    Args:
        sums: with or without clusters.
        variance: (...) of the mean.
        df: degrees of freedom without clusters.
        slope: of the regression on the control variate.
    """
    if sums.clusters is None:
        return variance, df
    count, total = sums.clusters.table[:, 0], cluster_terms(sums.clusters, slope)
    return np.maximum(variance, cluster_variance(count, total)), min(df, count.size - 1)


def cluster_terms(clusters: Clusters, slope: Floats | float) -> Floats:
    """(g,) sums of y - slope c within clusters; of y where there is no slope, for c may be unknown then."""
    table = clusters.table
    total = table[:, PART] + table[:, TERM]
    return np.asarray(total if not np.any(slope) else total - slope * (table[:, U] - table[:, CENTRE]))


def cluster_variance(count: Floats, total: Floats) -> float:
    """Variance of the mean over rows when rows of one cluster move together (CR1).

    Args:
        count: (g,) rows per cluster.
        total: (g,) sum of the row terms per cluster.

    Returns:
        G / (G - 1) * sum_g (total_g - count_g * mean)^2 / n^2; infinite for a single cluster.

    >>> cluster_variance(np.array([1.0, 1.0]), np.array([0.0, 2.0]))
    1.0
    """
    n_clusters, n = count.size, float(count.sum())
    if n_clusters < 2:
        return float("inf")
    gap = total - count * (total.sum() / n)
    return n_clusters / (n_clusters - 1) * float(gap @ gap) / n**2
