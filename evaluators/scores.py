"""Doubly robust scores of a contrast: a target's value, or a target's minus a baseline's.

A score is unbiased if either the propensities or the reward model is right; with logged
propensities it always is, and the model only lowers the variance. One definition serves the value
(contrast = target) and the difference (contrast = target - baseline, the weights signed).
Source: Dudik, Langford & Li (2011), equation 6; Bhatia & Davis (2000) for the shape v.
"""

from typing import NamedTuple

import numpy as np

from evaluators.moments import Moments, merge_moments, moments
from evaluators.rows import Floats, RewardRange, Rows, logged

SPREAD_FLOOR = 1e-4  # of the squared range: variance left where the model predicts a bound


class RowScores(NamedTuple):
    """Doubly robust scores of one contrast, row by row, in reward units."""

    part: Floats  # (n,) sum_a contrast q
    weight: Floats  # (n,) u of the logged action, signed for a difference
    residual: Floats  # (n,) e = r - q of the logged action
    spread: Floats  # (n,) v of the logged action; 0 without a declared range
    design: Floats  # (n,) sum_a pi_b u^2 v

    def score(self) -> Floats:
        """(n,) part + u e."""
        return self.part + self.weight * self.residual


class Scores(NamedTuple):
    """Mergeable sums of row scores, with the ingredients of the model variance."""

    score: Moments  # of part + u e, about an origin
    part: Moments  # of the same without u e
    residual: float  # sum |u| e^2
    spread: float  # sum |u| v over logged actions
    design: float  # sum over rows of sum_a pi_b u^2 v

    def kappa(self) -> float:
        """Level of the residual variance over its shape v; 1, the most possible, if unseen."""
        return self.residual / self.spread if self.spread > 0 else 1.0


def importance(contrast: Floats, behavior: Floats) -> Floats:
    """How much more often than the logger, per slot: contrast / behavior, 0 without support.

    Args:
        contrast: (n, k) target probabilities, or target minus baseline.
        behavior: (n, k) propensities, 0 where infeasible.

    Returns:
        (n, k) weights; negative where a difference is.

    >>> importance(np.array([[0.5, 0.3, 0.2]]), np.array([[0.25, 0.75, 0.0]]))
    array([[2. , 0.4, 0. ]])
    """
    return np.divide(contrast, behavior, out=np.zeros_like(contrast), where=behavior > 0)


def row_scores(rows: Rows, contrast: Floats) -> RowScores:
    """Score every row of a contrast.

    Args:
        rows: checked rows with `predicted`; `target` is not read.
        contrast: (n, k) target probabilities, or target minus baseline.

    Raises:
        ValueError: the rows carry no reward model.
    """
    if rows.predicted is None:
        raise ValueError("rows.predicted is None, need (n, k) predictions: see reward_model")
    weight = importance(contrast, rows.behavior)
    v = spread(rows.predicted, rows.reward_range)
    return RowScores(
        part=np.einsum("nk,nk->n", contrast, rows.predicted),
        weight=logged(weight, rows.slot),
        residual=rows.reward - logged(rows.predicted, rows.slot),
        spread=logged(v, rows.slot),
        design=np.einsum("nk,nk->n", contrast * weight, v),
    )


def spread(predicted: Floats, declared: RewardRange | None) -> Floats:
    """Largest variance a reward in [a, b] with the predicted mean q can have, plus a floor.

    Args:
        predicted: (n, k) reward model.
        declared: the reward's range; None gives zeros, which only a plain t interval may use.

    Returns:
        (n, k) (q - a)(b - q) + 1e-4 (b - a)^2, squared reward units.
    """
    if declared is None:
        return np.zeros_like(predicted)
    lo, hi = declared
    inside = np.maximum((predicted - lo) * (hi - predicted), 0.0)
    return np.asarray(inside + SPREAD_FLOOR * (hi - lo) ** 2)


def score_sums(per_row: RowScores, origin: float = 0.0) -> Scores:
    """Sum row scores about an origin in reward units (0 suits a difference)."""
    size = np.abs(per_row.weight)
    return Scores(
        score=moments(per_row.score() - origin),
        part=moments(per_row.part - origin),
        residual=float(size @ per_row.residual**2),
        spread=float(size @ per_row.spread),
        design=float(per_row.design.sum()),
    )


def merge_scores(left: Scores, right: Scores) -> Scores:
    """Score sums of two disjoint sets of rows as those of their union."""
    return Scores(
        score=merge_moments(left.score, right.score),
        part=merge_moments(left.part, right.part),
        residual=left.residual + right.residual,
        spread=left.spread + right.spread,
        design=left.design + right.design,
    )
