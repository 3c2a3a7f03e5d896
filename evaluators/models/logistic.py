"""Logistic regression of the reward's place in its declared range: for rewards that are 0 or 1, or shares.

Predictions never leave the range. A reward between the ends counts as that share of each end.
Source: Papke & Wooldridge (1996) for shares.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from evaluators.logistic import fit_logistic
from evaluators.reward_model import Sample
from evaluators.rows import Floats, Ints

__all__ = ["Params", "tables"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the regression."""

    ridge: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e9, "unit": "rows at unit features"})
    n_folds: int = field(default=5, metadata={"ge": 2, "le": 1000, "unit": "folds"})


def tables(params: Params, design: Floats, sample: Sample) -> Floats:
    """Predictions of every fold; arguments and result as `reward_model.fit_tables`.

    Args:
        params: ridge.
        design: (m, k, p) features with a column of ones.
        sample: with `reward_range`.

    Raises:
        ValueError: no declared range, or rewards outside it.
    """
    if sample.reward_range is None:
        raise ValueError("reward model logistic needs sample.reward_range, got none: declare the reward's ends")
    lo, hi = sample.reward_range
    share, (m, k, p) = (sample.reward - lo) / (hi - lo), design.shape
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError(
            f"rewards lie in {sample.reward.min():.6g}..{sample.reward.max():.6g}, need {lo:.6g}..{hi:.6g}"
        )
    weight = np.ones_like(share) if sample.weight is None else sample.weight
    cell, found = sample.row * k + sample.slot, np.empty((sample.n_folds, m, k))
    for held_out in range(sample.n_folds):
        train = sample.fold != held_out
        met, at = np.unique(cell[train], return_inverse=True)
        up, down = (_sums(at, (weight * part)[train]) for part in (share, 1 - share))
        beta = fit_logistic(design.reshape(m * k, p)[met], up, down, ridge=params.ridge)
        found[held_out] = lo + (hi - lo) * expit(design @ beta)
    return found


def _sums(label: Ints, values: Floats) -> Floats:
    return np.asarray(np.bincount(label, weights=values), np.float64)
