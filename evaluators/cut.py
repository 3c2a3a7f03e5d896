"""Doubly robust scores whose reward model is cut at k / weight: unbiased, and bounded where it matters.

A plain doubly robust score, part + w (r - q), falls to -w q where a heavy weight meets no reward,
so a bound on it needs the largest weight there can be. With min(q, k/w) in place of q the score is
as unbiased as before (any model is), and never below -k, whatever the weights: enough for a lower
bound. With max(q, 1 - k/w) it is never above 1 + k: enough for an upper one. k = 0 leaves the
importance-weighted reward, and 1 minus the importance-weighted loss. A larger k cuts less and
lowers the variance; a reward model whose level is far off is better recalibrated than cut.

Rewards are rescaled from their declared range to [0, 1]. Unsupported target mass is counted at the
range's low end in the lower score and at its high end in the upper one, so that the two expectations
enclose the value whatever that mass earns.
Source: Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro (2022), "Anytime-valid off-policy
inference for contextual bandits": a predictor cut at k / w keeps the pseudo-outcome above -k.
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, RewardRange, Rows
from evaluators.scores import importance


class CutTables(NamedTuple):
    """What the cut scores of h cuts need beside the logged action, per table row."""

    cuts: Floats  # (h,) k, in units of the rescaled reward
    weight: Floats  # (c, k) target / behavior, 0 without support
    gain: Floats  # (h, c) sum_a target min(q, k/w)
    loss: Floats  # (h, c) sum_a target min(1 - q, k/w)


class CutScores(NamedTuple):
    """Scores of h cuts, (h, ..., n) each, rescaled to a reward range of [0, 1]."""

    lower: Floats  # >= -k; its expectation is at most the value
    upper: Floats  # <= 1 + k; its expectation is at least the value

    def folded(self, n_logs: int) -> "CutScores":
        """Scores of n_logs logs of equal length that stand one after another, as (h, n_logs, n)."""
        return CutScores(*(score.reshape(len(score), n_logs, -1) for score in self))


def cut_tables(rows: Rows, cuts: tuple[float, ...]) -> CutTables:
    """The parts of cut scores that need no reward; computed once for all rows that share tables.

    Args:
        rows: checked rows with a declared reward range; a partial log takes k = 0 alone.
        cuts: (h,) k >= 0, in units of the rescaled reward.

    Raises:
        ValueError: no declared range, a negative cut, or a cut above 0 without a reward model or
            without the logger's whole distribution.
    """
    _check(rows, cuts)
    weight = importance(rows.target, rows.behavior)
    gain, loss = (np.zeros((len(cuts), len(rows.target))) for _ in range(2))
    if rows.predicted is not None and not rows.is_partial:
        model = rescaled(rows.predicted, rows.reward_range)
        supported = np.where(rows.behavior > 0, rows.target, 0.0)
        for i, k in enumerate(cuts):
            most = k * rows.behavior  # target k / w
            gain[i] = np.minimum(supported * model, most).sum(axis=1)
            loss[i] = np.minimum(supported * (1 - model), most).sum(axis=1)
    return CutTables(np.asarray(cuts, dtype=np.float64), weight, gain, loss)


def cut_scores(tables: CutTables, rows: Rows) -> CutScores:
    """Lower and upper scores of every cut, row by row.

    Args:
        tables: of rows with the same tables.
        rows: n checked rows; the reward is rescaled by their declared range.

    Returns:
        Arrays (h, n), dimensionless.

    >>> one, pair = np.ones(1), np.array([[0.5, 0.5]])
    >>> rows = Rows(one, np.array([0]), np.array([[0.1, 0.9]]), pair, predicted=pair, reward_range=RewardRange(0, 1))
    >>> cut_scores(cut_tables(rows, (1.0,)), rows).lower  # 0.1 + 0.25 + 5 (1 - 0.2)
    array([[4.35]])
    """
    weight, reward = rows.at(tables.weight), rescaled(rows.reward, rows.reward_range)
    model = np.zeros_like(reward) if rows.predicted is None else rescaled(rows.at(rows.predicted), rows.reward_range)
    lower, upper = (np.empty((len(tables.cuts), weight.size)) for _ in range(2))
    for i, k in enumerate(tables.cuts):
        # w min(q, k/w) is min(w q, k): no division, and the bounds hold to the last digit
        lower[i] = rows.at(tables.gain[i]) + weight * reward - np.minimum(weight * model, k)
        upper[i] = 1 - (rows.at(tables.loss[i]) + weight * (1 - reward) - np.minimum(weight * (1 - model), k))
    return CutScores(lower, upper)


def rescaled(values: Floats, declared: RewardRange | None) -> Floats:
    """Rewards or predictions as shares of their declared range, 0 to 1.

    Raises:
        ValueError: no range is declared.

    >>> rescaled(np.array([-1.0, 0.0, 3.0]), RewardRange(-1.0, 3.0))
    array([0.  , 0.25, 1.  ])
    """
    if declared is None:
        raise ValueError("reward_range is None, need the range that the world declares; never the sample's extremes")
    return np.clip((values - declared.lo) / (declared.hi - declared.lo), 0.0, 1.0)


def _check(rows: Rows, cuts: tuple[float, ...]) -> None:
    if rows.reward_range is None:
        raise ValueError("reward_range is None, need the range that the world declares; never the sample's extremes")
    if not cuts or not all(0 <= k < np.inf for k in cuts):
        raise ValueError(f"cuts = {cuts}, need finite numbers >= 0, e.g. (0, 2, 5, 10, 20)")
    if max(cuts) > 0 and rows.predicted is None:
        raise ValueError(f"cuts = {cuts} without predicted, need a reward model to cut; take cuts = (0,) for none")
    if max(cuts) > 0 and rows.is_partial:
        raise ValueError(
            f"cuts = {cuts} on a log that knows the propensity of the logged action alone, need the whole window's; "
            "take cuts = (0,)"
        )
