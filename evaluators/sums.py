"""Mergeable partial sums: all that an interval needs of a log, in a few dozen numbers.

Shards may be summed anywhere and merged in any order; finishing the merged sums equals one pass
(1e-10 relative). Values are summed about the middle of the declared reward range, so that a large
common offset costs no digits. All arrays may have a leading axis of logs: thousands of short logs
are then summed, and their intervals found, at once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.clusters import Clusters, cluster_totals, merge_clusters
from evaluators.rows import Floats, Ints, RewardRange, Rows
from evaluators.scores import Basis, RowScores, basis_of, join_scores

ROW_POWERS, WEIGHT_POWERS = 4, 9  # y^0..3 for a skew, c^0..8 for leverages
PART, CENTRE, TERM, U = range(1, 5)  # places in `gram` and `clusters.table`; 0 counts rows


class Weights(NamedTuple):
    """Sums of the importance weights of one target, and of what they were expected to be."""

    n: int
    total: Floats | float
    square: Floats | float
    largest: Floats | float
    design: Floats | float  # sum over rows of sum_a pi_e^2 / pi_b: the expected squared weights
    mass: Floats | float  # sum over rows of the target mass on slots the logger could take

    def ess(self) -> NDArray[np.float64]:
        """Effective sample size in rows, (sum w)^2 / sum w^2; 0 if no row has weight."""
        square = np.asarray(self.square, np.float64)
        return np.divide(np.square(self.total), square, out=np.zeros_like(square), where=square > 0)


class Sums(NamedTuple):
    """Sums of row scores y = part + u e, with c = u - centre."""

    n: int
    origin: float  # reward units
    reward_range: RewardRange | None
    is_ratio: bool
    powers: Floats  # (..., 4, 9) sum y^i c^j
    gram: Floats  # (..., 5, 5) of (1, part, centre, u e, u)
    residual: Floats  # (..., 4) sum |u|, |u| e, |u| e^2, |u| v
    design: Floats  # (...) sum over rows of sum_a pi_b u^2 v
    ends: Floats  # (..., 2) smallest and largest c
    weights: Weights
    clusters: Clusters | None = None
    kept: RowScores | None = None  # the scores themselves, where an interval resamples them
    extra: Floats | None = None  # (..., h, 2) sum x, x^2 of an interval's own columns; in `clusters` after U


def summed(scores: RowScores, weights: Weights, *, rows: Rows, keep: bool = False) -> Sums:
    """Sums of the scores of one log, or of many.

    Args:
        scores: (..., n) arrays.
        weights: of the same rows.
        rows: where they come from: its range and its clusters are read.
        keep: hold the scores too.
    """
    y, u, e = scores.score(), scores.weight, scores.residual
    term, size, c = u * e, np.abs(u), u - scores.centre
    bent = size * e
    columns = np.stack([np.ones_like(y), scores.part, scores.centre, term, u], axis=-2)
    extra = [] if scores.extra is None else list(scores.extra)
    residual = [size.sum(axis=-1), bent.sum(axis=-1), np.vecdot(bent, e), np.vecdot(size, scores.spread)]
    return Sums(
        n=y.shape[-1],
        origin=scores.origin,
        reward_range=rows.reward_range,
        is_ratio=scores.is_ratio,
        powers=_powers(y, ROW_POWERS) @ np.swapaxes(_powers(c, WEIGHT_POWERS), -1, -2),
        gram=columns @ np.swapaxes(columns.copy(), -1, -2),  # of itself, BLAS takes a slower way
        residual=np.stack(residual, axis=-1),
        design=scores.design.sum(axis=-1),
        ends=np.stack([c.min(axis=-1), c.max(axis=-1)], axis=-1),
        weights=weights,
        clusters=None if rows.cluster is None else _clusters(rows.cluster, columns, extra),
        kept=scores if keep else None,
        extra=_extra_sums(extra),
    )


def _extra_sums(extra: list[Floats]) -> Floats | None:
    found = [np.stack([x.sum(axis=-1), np.vecdot(x, x)], axis=-1) for x in extra]
    return np.stack(found, axis=-2) if found else None


def _powers(values: Floats, count: int) -> Floats:
    found = np.empty((*values.shape[:-1], count, values.shape[-1]))
    found[..., 0, :], found[..., 1, :] = 1.0, values
    for power in range(2, count):
        np.multiply(found[..., power - 1, :], values, out=found[..., power, :])
    return found


def _clusters(label: Ints, columns: Floats, extra: list[Floats]) -> Clusters:
    if columns.ndim > 2:
        raise ValueError(f"clusters of {columns.shape[0]} logs at once, need one log at a time")
    return cluster_totals(label, (*columns[1:], *extra))


class WeightColumns(NamedTuple):
    """Per row of a log: (n,) arrays."""

    weight: Floats  # of the logged slot
    square: Floats  # sum_a pi_e^2 / pi_b
    mass: Floats  # of the target on slots the logger could take


def weight_columns(rows: Rows, basis: Basis) -> WeightColumns:
    """The weight of every row, and what it was expected to be."""
    return WeightColumns(basis.logged, rows.at(basis.square), rows.at(basis.mass))


def weight_sums(columns: WeightColumns, *, n_logs: int = 0) -> Weights:
    """Sums of the weights of a target on a log.

    Args:
        columns: of the log's rows.
        n_logs: logs of equal length that stand one after another; 0: one log, plain numbers.
    """
    weight, square, mass = (column.reshape(n_logs, -1) if n_logs else column for column in columns)
    return Weights(
        n=weight.shape[-1],
        total=weight.sum(axis=-1),
        square=np.vecdot(weight, weight),
        largest=weight.max(axis=-1),
        design=square.sum(axis=-1),
        mass=mass.sum(axis=-1),
    )


def weights_of(rows: Rows) -> Weights:
    """Sums of the weights of the rows' target, one log."""
    return weight_sums(weight_columns(rows, basis_of(rows)))


def merge(left: Sums, right: Sums) -> Sums:
    """Sums of two shards as sums of one log.

    Args:
        left: sums of some rows of a log.
        right: sums of other rows of it, by the same estimator.

    Raises:
        ValueError: the shards declare different reward ranges or come of different estimators, or
            one of them lacks the clusters or the kept scores that the other has.
    """
    if left.reward_range != right.reward_range:
        raise ValueError(f"shards declare reward ranges {left.reward_range} and {right.reward_range}, need one")
    if left.is_ratio != right.is_ratio:
        raise ValueError("one shard is of a self-normalised estimator and the other is not; need one estimator")
    lows, highs = (np.stack([left.ends[..., i], right.ends[..., i]]) for i in (0, 1))
    return left._replace(
        n=left.n + right.n,
        powers=left.powers + right.powers,
        gram=left.gram + right.gram,
        residual=left.residual + right.residual,
        design=left.design + right.design,
        ends=np.stack([lows.min(axis=0), highs.max(axis=0)], axis=-1),
        weights=_merge_weights(left.weights, right.weights),
        clusters=_merge_clusters(left.clusters, right.clusters),
        kept=_merge_kept(left.kept, right.kept),
        extra=None if left.extra is None or right.extra is None else left.extra + right.extra,
    )


def _merge_weights(left: Weights, right: Weights) -> Weights:
    return Weights(
        n=left.n + right.n,
        total=left.total + right.total,
        square=left.square + right.square,
        largest=np.maximum(left.largest, right.largest),
        design=left.design + right.design,
        mass=left.mass + right.mass,
    )


def _merge_clusters(left: Clusters | None, right: Clusters | None) -> Clusters | None:
    if (left is None) != (right is None):
        raise ValueError("one shard has clusters and the other has not; sum both the same way")
    return None if left is None or right is None else merge_clusters(left, right)


def _merge_kept(left: RowScores | None, right: RowScores | None) -> RowScores | None:
    if (left is None) != (right is None):
        raise ValueError("one shard keeps its scores and the other does not; sum both the same way")
    if left is None or right is None:
        return None
    return join_scores([left, right])
