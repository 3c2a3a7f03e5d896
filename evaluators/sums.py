"""Mergeable partial sums: all that the estimators need of a log, in a few dozen numbers.

Shards may be summed anywhere and merged in any order; finishing the merged sums equals one pass
(1e-12 relative). Values are summed about `origin`, the middle of the declared reward range, so that
a large common offset costs no digits; without a declared range the origin is 0.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from evaluators.moments import (
    Clusters,
    Moments,
    cluster_totals,
    merge_clusters,
    merge_moments,
    moments,
)
from evaluators.rows import Floats, RewardRange, Rows, check, logged
from evaluators.scores import RowScores, Scores, importance, merge_scores, row_scores, score_sums

HC3_ORDER = 4  # powers of the leverage kept for SNIPS; see estimators.snips
COUNT, WEIGHT, WEIGHTED_REWARD, DIRECT, SCORE = range(5)  # columns of Sums.clusters.table

T = TypeVar("T")


class Weights(NamedTuple):
    """Sums of the importance weights of one target, and of what they were expected to be."""

    n: int
    total: float
    square: float
    largest: float
    design: float  # sum over rows of sum_a pi_e^2 / pi_b: the expected squared weights
    mass: float  # sum over rows of the target mass on slots the logger could take

    def ess(self) -> float:
        """Effective sample size in rows, (sum w)^2 / sum w^2; 0 if no row has weight."""
        return self.total**2 / self.square if self.square > 0 else 0.0


class Sums(NamedTuple):
    """What `sums` returns and every estimator's `finish` reads."""

    origin: float  # reward units
    reward_range: RewardRange | None
    weights: Weights
    ips: Moments  # of w r - origin
    weighted_reward: float  # sum w (r - origin)
    powers: Floats  # (3, HC3_ORDER + 1): sum of (r - origin)^m w^(2 + j) at [m, j]
    direct: Moments | None  # of sum_a pi_e q - origin; None without a reward model
    scores: Scores | None  # doubly robust, about the origin; None without a reward model
    clusters: Clusters | None  # columns as above, values about the origin


def weight_sums(target: Floats, rows: Rows) -> Weights:
    """Sums of the weights of a target on a log.

    Args:
        target: (n, k) probabilities; `rows.target` is not read.
        rows: checked rows.
    """
    table = importance(target, rows.behavior)
    weight = logged(table, rows.slot)
    return Weights(
        n=weight.size,
        total=float(weight.sum()),
        square=float(weight @ weight),
        largest=float(weight.max()),
        design=float(np.einsum("nk,nk->", target, table)),
        mass=float(np.einsum("nk,nk->", target, rows.behavior > 0)),
    )


def sums(rows: Rows) -> Sums:
    """One pass over the rows of a shard, or of a whole log.

    Args:
        rows: one target on one log; checked here.

    Raises:
        ValueError: as `rows.check`.
        TypeError: as `rows.check`.
    """
    rows = check(rows)
    declared = rows.reward_range
    origin = 0.0 if declared is None else (declared.lo + declared.hi) / 2
    weight = logged(rows.target, rows.slot) / logged(rows.behavior, rows.slot)
    reward = rows.reward - origin
    per_row = None if rows.predicted is None else row_scores(rows, rows.target)
    return Sums(
        origin=origin,
        reward_range=declared,
        weights=weight_sums(rows.target, rows),
        ips=moments(weight * rows.reward - origin),
        weighted_reward=float(weight @ reward),
        powers=_powers(weight, reward),
        direct=None if per_row is None else moments(per_row.part - origin),
        scores=None if per_row is None else score_sums(per_row, origin),
        clusters=_clusters(rows, weight, origin=origin, per_row=per_row),
    )


def _powers(weight: Floats, reward: Floats) -> Floats:
    weights = [weight**2]
    for _ in range(HC3_ORDER):
        weights.append(weights[-1] * weight)
    return np.asarray(np.stack([np.ones_like(reward), reward, reward**2]) @ np.stack(weights).T)


def _clusters(rows: Rows, weight: Floats, *, origin: float, per_row: RowScores | None) -> Clusters | None:
    if rows.cluster is None:
        return None
    zero = np.zeros_like(weight)
    part = zero if per_row is None else per_row.part - origin
    score = zero if per_row is None else per_row.score() - origin
    return cluster_totals(rows.cluster, (weight, weight * (rows.reward - origin), part, score))


def merge(left: Sums, right: Sums) -> Sums:
    """Sums of two shards as sums of one log.

    Args:
        left: sums of some rows of a log.
        right: sums of other rows of it.

    Raises:
        ValueError: the shards declare different reward ranges, or one of them lacks the reward
            model or the clusters that the other has.
    """
    if left.reward_range != right.reward_range:
        raise ValueError(f"shards declare reward ranges {left.reward_range} and {right.reward_range}, need one")
    return Sums(
        origin=left.origin,
        reward_range=left.reward_range,
        weights=_merge_weights(left.weights, right.weights),
        ips=merge_moments(left.ips, right.ips),
        weighted_reward=left.weighted_reward + right.weighted_reward,
        powers=left.powers + right.powers,
        direct=_optional(left.direct, right.direct, join=merge_moments, what="a reward model"),
        scores=_optional(left.scores, right.scores, join=merge_scores, what="a reward model"),
        clusters=_optional(left.clusters, right.clusters, join=merge_clusters, what="clusters"),
    )


def _merge_weights(left: Weights, right: Weights) -> Weights:
    return Weights(
        n=left.n + right.n,
        total=left.total + right.total,
        square=left.square + right.square,
        largest=max(left.largest, right.largest),
        design=left.design + right.design,
        mass=left.mass + right.mass,
    )


def _optional(left: T | None, right: T | None, *, join: Callable[[T, T], T], what: str) -> T | None:
    if (left is None) != (right is None):
        raise ValueError(f"one shard has {what} and the other has not; sum both the same way")
    return None if left is None or right is None else join(left, right)
