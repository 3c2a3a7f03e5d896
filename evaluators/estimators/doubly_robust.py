"""Doubly robust value: the model's opinion, corrected by what the log saw of its errors.

Unbiased with logged propensities whatever the (cross-fitted) model says; a good model lowers the
variance. The default interval averages the sample variance with a model variance that counts the
heavy weights that were possible but not drawn; it needs the declared range of the reward. The plain
`t` interval's one-sided lower bound errs 10 % of the time instead of 5 % on heavy-tailed logs.
Source: Dudik, Langford & Li (2011); `intervals.half_model_variance`.
"""

from dataclasses import dataclass, field

from evaluators.finishing import column, finished
from evaluators.intervals import half_model_variance
from evaluators.rows import Estimate, Rows
from evaluators.scores import Scores
from evaluators.sums import SCORE, Sums
from evaluators.sums import sums as sums_of

__all__ = ["Params", "estimate", "finish"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: str = field(default="half_model_variance", metadata={"choices": ("half_model_variance", "t")})


def estimate(params: Params, rows: Rows) -> Estimate:
    """Mean of sum_a target q + w (r - q).

    Args:
        params: confidence and kind of interval.
        rows: one target on one log, n rows, with `predicted`, and with `reward_range` unless
            the interval is `t`.

    Raises:
        ValueError: as `rows.check`; no reward model; an unknown kind of interval; the half model
            variance asked for a reward without a declared range.
        TypeError: as `rows.check`.
    """
    return finish(params, sums_of(rows))


def finish(params: Params, sums: Sums) -> Estimate:
    """The same from (merged) sums.

    Raises:
        ValueError: as `estimate`.
    """
    if sums.scores is None:
        raise ValueError("doubly robust needs rows.predicted (n, k): see reward_model")
    return finished(
        sums,
        sums.origin + sums.scores.score.mean(),
        variance=_variance(params, sums, scores=sums.scores),
        confidence=params.confidence,
        cluster_total=column(sums.clusters, SCORE),
    )


def _variance(params: Params, sums: Sums, *, scores: Scores) -> float:
    if params.interval == "t":
        return scores.score.variance() / scores.score.n
    if params.interval != "half_model_variance":
        raise ValueError(f"interval = {params.interval!r}, need half_model_variance or t")
    if sums.reward_range is None:
        raise ValueError(
            "interval = half_model_variance needs a declared reward range, got none; declare "
            "rows.reward_range or choose interval = t"
        )
    return half_model_variance(scores)
