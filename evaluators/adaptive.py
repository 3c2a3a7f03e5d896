"""A policy's value from a log whose logger learned while it logged.

Self-normalised doubly robust scores under two-point weights, HC2 variance, Student t with the Kish number of the
weights less one. It assumes: rows in time order, their propensities the ones drawn with; contexts that do not
change in law while the log grows, and a mean reward that depends on context and action alone; `predicted` from
earlier rows only (`leave_future_out`) and not far off in the first rows; exploration that falls no faster than
about t^-0.7. The noise may differ by action, context and time.

Measured in `experiments.certifying`, nominal 95 %: one action of three, least coverage 94.3 / 94.6 / 94.6 % at
T = 200 / 1,000 / 5,000 (`adaptive_logs`); five targets in three worlds of 3 contexts x 5 actions, 95.6 / 94.8 %
at 200 / 1,000 (`adaptive_contexts`; 94.1 % at 5,000, run once with `horizons`). Shown to fail there, the worse of 200
and 1,000: plain scores (83 %) and constant weights (85 %) with a normal quantile, two-point weights with one (88 %),
weights that look at their own row's context (69 %), one pooled variance where noise falls over
time (79 %). Also seen to fail: a model that says 0 of untried cells where contexts differ in level (90 %), no model
there at T = 200 (90 %), a mean that rises by 0.25 of the noise's half-width (87 %).
A target that changes with time, or a mean that drifts, has no one value: judge stretches of the log.
Source: Hadad et al. (2021); Zhan et al. (2021); the Hajek form, HC2 and Kish quantile are measured choices.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators import adaptive_weights, hajek
from evaluators.rows import Estimate, Floats, Rows, check
from evaluators.scores import importance

__all__ = ["Params", "estimate"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator.

    Attributes:
        confidence: two-sided; the ends at 0.90 are one-sided 95 % bounds.
        allocation: weights of the rounds, as `adaptive_weights.weights`.
        variance: `hc2`, or `pooled`: narrower by 5 % at 1,000 rows, and only for a target that always plays one
            action, a logger that sees no contexts and noise that does not change while it logs.
        window: rows before each that tell how well the logger explored; `pooled` has no use for it.
    """

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    allocation: str = field(default="two_point", metadata={"choices": adaptive_weights.KINDS})
    variance: str = field(default="hc2", metadata={"choices": hajek.VARIANCES})
    window: int = field(default=50, metadata={"ge": 1, "le": 10**6, "unit": "rows"})


def estimate(params: Params, rows: Rows) -> Estimate:
    """Value of the target with an interval that allows for the logger's learning.

    Args:
        params: weights, kind of variance and confidence.
        rows: one target on one log in time order, with or without `predicted`; `reward_range` is not read.

    Returns:
        The estimate; `ess` is that of the weights the rows enter with, allocation included.

    Raises:
        ValueError: as `rows.check`; clusters; a logger known at the logged slot only; `pooled` for a target that is
            not one action or with a reward model; an unknown allocation or variance.
        TypeError: as `rows.check`.
    """
    rows = check(rows)
    _check(params, rows)
    is_pooled = params.variance == "pooled"
    moment = rows.at(adaptive_weights.second_moment(rows.behavior, rows.target))
    propensity = adaptive_weights.effective_propensity(moment, window=0 if is_pooled else params.window)
    round_weight = adaptive_weights.weights(propensity, params.allocation)
    importance_weight = rows.at(importance(rows.target, rows.behavior))
    share = round_weight * importance_weight
    fitted = hajek.pooled(rows.reward, share) if is_pooled else _robust(rows, share, round_weight)
    lo, hi = fitted.bounds(params.confidence)
    return Estimate(
        value=float(fitted.value),
        stderr=float(fitted.stderr) if np.isfinite(lo) else float("inf"),
        lo=float(lo),
        hi=float(hi),
        ess=float(adaptive_weights.kish(share)),
        max_weight=float(importance_weight.max()),
        n=rows.reward.size,
    )


def _robust(rows: Rows, share: Floats, round_weight: Floats) -> hajek.Fitted:
    if rows.predicted is None:
        return hajek.hc2(rows.reward, share)
    part = rows.at(np.einsum("ck,ck->c", rows.target, rows.predicted))
    return hajek.hc2(rows.reward - rows.at(rows.predicted), share, part=part, round_weight=round_weight)


def _check(params: Params, rows: Rows) -> None:
    if not 0 < params.confidence < 1:
        raise ValueError(f"confidence = {params.confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
    if params.variance not in hajek.VARIANCES:
        raise ValueError(f"variance = {params.variance!r}, need one of {', '.join(hajek.VARIANCES)}")
    if rows.is_partial:
        raise ValueError(
            "the logger's distribution is known at the logged slot only, need all of it: the weights of an adaptive "
            "log say how well every round explored the target, played or not"
        )
    if rows.cluster is not None:
        raise ValueError("rows carry clusters, need none: an adaptive log is one sequence; drop `cluster`")
    if params.variance == "pooled":
        _check_pooled(rows)


def _check_pooled(rows: Rows) -> None:
    if rows.predicted is not None:
        raise ValueError("variance = pooled takes no reward model; drop `predicted` or choose hc2")
    mixed = np.flatnonzero((rows.target.max(axis=1) < 1) | ((rows.target > 0).sum(axis=1) > 1))
    if mixed.size:
        raise ValueError(
            f"target[{mixed[0]}] spreads over several slots, need one action with probability 1 for "
            "variance = pooled; choose hc2"
        )
