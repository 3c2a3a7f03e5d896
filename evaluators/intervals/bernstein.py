"""Empirical Bernstein on cut scores: an interval that holds at every n, with nothing approximate about it.

Scores are held within k reward ranges of the declared one. On the side where a bound could err the
reward model is cut at k / weight, which costs no bias; on the other side the score itself is cut,
which only moves the bound outward. Their range is then known before the log is seen, (1 + 2 k)
reward ranges, whatever the weights, and the largest weight there can be (6,281 where design ESS/n =
0.12) does not enter. The price is width: there, with k = 3, all of the range at n = 200, 0.29 of it
at n = 2,000 and 0.18 at n = 10,000, where a larger k is narrower (0.13 with 10). `betting` promises
more, at any moment, and is half as wide. Rows must be independent: clusters are refused.
Source: Maurer & Pontil (2009), "Empirical Bernstein bounds and sample-variance penalization",
theorem 4; Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro (2022) for the cut.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.adjusting import sample_variance
from evaluators.intervals import cut_t
from evaluators.quantiles import Interval
from evaluators.rows import Floats, Rows
from evaluators.sums import Sums

__all__ = ["Params", "bounds", "columns", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """How far beyond the declared range a score may lie."""

    cut: float = field(default=3.0, metadata={"ge": 0.0, "le": 1e6, "unit": "reward ranges"})


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset({"columns"})


def columns(params: Params, rows: Rows) -> Floats:
    """(2, n) lower and upper cut scores, each within k ranges of the declared one; reward units about its middle.

    Raises:
        ValueError: as `cut_t.columns`.
    """
    low, high = cut_t.columns(cut_t.Params(params.cut), rows)
    lo, hi = rows.reward_range or (0.0, 1.0)
    most = (hi - lo) * (0.5 + params.cut)
    return np.stack([np.minimum(low, most), np.maximum(high, -most)])


def bounds(params: Params, sums: Sums, confidence: float) -> Interval:
    """Mean -+ [sqrt(2 s^2 l / n) + 7 (1 + 2 k) (b - a) l / (3 (n - 1))], l = log(2 / tail), within [a, b].

    Args:
        params: those the columns were made with.
        sums: with `columns` among them; the interval is for the target's value, by whatever estimator.
        confidence: two-sided; each end errs with at most half the rest.

    Raises:
        ValueError: sums without the columns, such as those of a difference; clusters; or confidence outside (0, 1).
    """
    total, square = cut_t.column_sums(sums)
    if sums.clusters is not None:
        raise ValueError("empirical Bernstein needs independent rows, got clusters; use cut_t")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    n, (a, b) = sums.n, sums.reward_range or (0.0, 1.0)
    level, reach = np.log(4 / (1 - confidence)), (b - a) * (1 + 2 * params.cut)
    mean, variance = total / n, sample_variance(total, square, n)
    half = np.sqrt(2 * variance * level / n) + (7 * reach * level / (3 * (n - 1)) if n > 1 else np.inf)
    most = (b - a) / 2
    lo, hi = np.clip(mean[..., 0] - half[..., 0], -most, most), np.clip(mean[..., 1] + half[..., 1], -most, most)
    return Interval(np.clip(mean.mean(axis=-1), lo, hi), np.sqrt(variance.max(axis=-1) / n), lo, hi)
