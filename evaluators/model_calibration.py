"""Is the reward model calibrated? Observed reward against predicted, where the logger went and where the target goes.

Rows are binned by the prediction of their logged action, over the declared range, and judged twice:
plainly, and by importance weight. The weighted error is what the direct method is wrong by, and what
the doubly robust correction takes away. Sums merge over shards. The errors are sample errors: with
heavy weights the weighted ones are a little short (a true model is doubted at a nominal 4 % in 7.2 %
of logs of 200 rows and 4.5 % of 2,000, where design ESS/n = 0.12).
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, RewardRange, Rows

N_BINS = 10
V, VQ, VR, VQQ, VQR, VV, VVE, VVEE = range(8)  # columns of `ModelSums.table`; e = r - q


class ModelSums(NamedTuple):
    """Mergeable sums per bin of the prediction, by rows and by importance weight."""

    declared: RewardRange  # cut into bins of equal width
    n: Floats  # (b,) rows
    table: Floats  # (2, b, 8) of v, vq, vr, vq^2, vqr, v^2, v^2 e, v^2 e^2, with v = 1 and v = w


class ModelBin(NamedTuple):
    """One line of the calibration table, reward units."""

    n: int
    predicted: float  # mean
    observed: float  # mean
    stderr: float  # of observed - predicted


class ModelFit(NamedTuple):
    """How observed rewards follow predicted ones."""

    bins: tuple[ModelBin, ...]  # those that hold weight, from low to high predictions
    slope: float  # of observed on predicted; 1 is calibrated; NaN if all predictions are equal
    intercept: float  # reward units
    error: float  # mean of observed - predicted, reward units
    stderr: float  # of it


def model_sums(rows: Rows, weight: Floats) -> ModelSums:
    """Sum predictions and rewards of the logged actions.

    Args:
        rows: checked rows with `predicted` and a declared range.
        weight: (c, k) `scores.importance(rows.target, rows.behavior)`.

    Raises:
        ValueError: no reward model or no declared range.
    """
    if rows.predicted is None or rows.reward_range is None:
        raise ValueError("need rows.predicted (see reward_model) and rows.reward_range, whose width is cut into bins")
    (lo, hi), q, r = rows.reward_range, rows.at(rows.predicted), rows.reward
    index = np.clip(((q - lo) * (N_BINS / (hi - lo))).astype(np.int64), 0, N_BINS - 1)
    sums = []
    for v in (np.ones_like(q), rows.at(weight)):
        e = v * (r - q)
        columns = (v, v * q, v * r, v * q * q, v * q * r, v * v, v * e, e * e)
        sums.append(np.stack([np.bincount(index, column, minlength=N_BINS) for column in columns], axis=1))
    return ModelSums(rows.reward_range, np.bincount(index, minlength=N_BINS).astype(np.float64), np.stack(sums))


def merge(left: ModelSums, right: ModelSums) -> ModelSums:
    """Sums of two disjoint sets of rows as those of their union.

    Args:
        left: sums of some rows of a log.
        right: sums of other rows of it.

    Raises:
        ValueError: the shards declare different ranges, hence different bins.
    """
    if left.declared != right.declared:
        raise ValueError(f"shards declare reward ranges {left.declared} and {right.declared}, need one")
    return ModelSums(left.declared, left.n + right.n, left.table + right.table)


def fit_of(sums: ModelSums, *, is_weighted: bool) -> ModelFit:
    """Calibration of the model where the logger went, or where the target goes.

    Args:
        sums: (merged) sums.
        is_weighted: rows count by their importance weight, as the target would meet them.
    """
    table = sums.table[int(is_weighted)]
    filled = [i for i in range(N_BINS) if table[i, V] > 0]
    bins = tuple(ModelBin(int(sums.n[i]), *_bin(table[i])) for i in filled)
    whole = table.sum(axis=0)
    if not filled:
        return ModelFit(bins, *(4 * (float("nan"),)))
    predicted, observed, stderr = _bin(whole)
    spread = whole[VQQ] / whole[V] - predicted**2
    is_flat = spread <= 1e-12 * (sums.declared.hi - sums.declared.lo) ** 2
    slope = float("nan") if is_flat else (whole[VQR] / whole[V] - predicted * observed) / spread
    return ModelFit(bins, float(slope), float(observed - slope * predicted), observed - predicted, stderr)


def _bin(sums: Floats) -> tuple[float, float, float]:
    """Mean prediction, mean reward, and the error of the linearised ratio between them."""
    predicted, observed = sums[VQ] / sums[V], sums[VR] / sums[V]
    gap = observed - predicted
    square = sums[VVEE] - 2 * gap * sums[VVE] + gap**2 * sums[VV]
    return float(predicted), float(observed), float(np.sqrt(max(square, 0.0)) / sums[V])
