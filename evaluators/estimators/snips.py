"""Self-normalised inverse propensity scoring: the weighted mean of the rewards.

Lies within the rewards seen and follows a shift of them, which IPS does not; biased by O(1/n). The
variance is that of the linearised ratio. `hc3` also divides each term by (1 - its share of the
weight), which a heavy row needs: at n = 200, ESS/n = 0.12 it covers 93 % where the linearised one covers 91 %.
HC3 is summed as a power series in that share (four terms, the rest bounded by the largest share),
so that shards merge: never below the exact figure, above it by less than 1e-4 where no row has more
than a tenth of the weight.
Source: Hesterberg (1995); MacKinnon & White (1985).
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.finishing import finished
from evaluators.rows import Estimate, Rows
from evaluators.sums import HC3_ORDER, WEIGHT, WEIGHTED_REWARD, Sums
from evaluators.sums import sums as sums_of

__all__ = ["Params", "estimate", "finish"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    variance: str = field(default="hc3", metadata={"choices": ("hc3", "linearised")})


def estimate(params: Params, rows: Rows) -> Estimate:
    """Sum of w r over sum of w, with a t interval on the linearised terms.

    Args:
        params: confidence and kind of variance.
        rows: one target on one log, n rows; no reward model needed.

    Raises:
        ValueError: as `rows.check`, or an unknown kind of variance.
        TypeError: as `rows.check`.
    """
    return finish(params, sums_of(rows))


def finish(params: Params, sums: Sums) -> Estimate:
    """The same from (merged) sums; NaN with the whole line if no row has weight.

    Raises:
        ValueError: an unknown kind of variance, or confidence outside (0, 1).
    """
    if params.variance not in ("hc3", "linearised"):
        raise ValueError(f"variance = {params.variance!r}, need hc3 or linearised")
    weights = sums.weights
    if weights.total <= 0:
        return finished(
            sums,
            float("nan"),
            variance=float("inf"),
            confidence=params.confidence,
            cluster_total=None,
        )
    value = sums.weighted_reward / weights.total
    total = None
    if sums.clusters is not None:
        table = sums.clusters.table
        gap = table[:, WEIGHTED_REWARD] - value * table[:, WEIGHT]
        total = gap * (weights.n / weights.total)
    return finished(
        sums,
        sums.origin + value,
        variance=_variance(sums, value, hc3=params.variance == "hc3"),
        confidence=params.confidence,
        cluster_total=total,
    )


def _variance(sums: Sums, value: float, *, hc3: bool) -> float:
    """Sum of (w (r - value))^2 / (1 - l)^2 over (sum w)^2, l = w / sum w; l = 0 if not hc3."""
    total, n = sums.weights.total, sums.weights.n
    # term[j] = sum_i d_i^2 l_i^j with d = w (r - value) / sum w
    combined = np.array([value**2, -2 * value, 1.0]) @ sums.powers
    term = np.maximum(combined / total ** (2.0 + np.arange(HC3_ORDER + 1)), 0.0)
    if not hc3:
        return float(term[0]) * n / (n - 1) if n > 1 else float("inf")
    share = sums.weights.largest / total
    if share > 1 - 1e-9:
        return float("inf")
    # sum_{j >= J} (j + 1) l^j = l^J ((J + 1) / (1 - l) + l / (1 - l)^2), at the largest l
    rest = (HC3_ORDER + 1) / (1 - share) + share / (1 - share) ** 2
    series = np.arange(1.0, HC3_ORDER + 1) @ term[:HC3_ORDER]
    return float(series + rest * term[HC3_ORDER])
