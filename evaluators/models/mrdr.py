"""More robust doubly robust: the linear reward model under which the DR estimate varies least.

DR stays unbiased whatever the model says, so the model may as well be chosen for the variance that it
leaves. Given the context that is e' D (diag(1 / behavior) - 1 1') D e, with D = diag(target) and e the
model's errors: a quadratic whose matrix is known exactly and whose linear part the log estimates. It is
minimised in one step from the ridge regression with squared importance weights, which already holds most
of that part still. Where design ESS/n was above 0.5, DR's RMSE was 10 to 20 % below ridge's at 200 and
2,000 rows; where it was 0.15 or less, ridge was better by as much or more: squared weights leave it few rows.
Source: Farajtabar, Chow & Ghavamzadeh (2018), section 4.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.reward_model import Params as RidgeParams
from evaluators.reward_model import Sample, check_sample, others
from evaluators.reward_model import tables as ridge_tables
from evaluators.rows import Floats
from evaluators.scores import importance

__all__ = ["Params", "tables"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the two fits."""

    pilot_ridge: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e9, "unit": "rows at unit features"})
    ridge: float = field(default=10.0, metadata={"gt": 0.0, "le": 1e9, "unit": "weighted rows at unit features"})
    n_folds: int = field(default=5, metadata={"ge": 2, "le": 1000, "unit": "folds"})


def tables(params: Params, design: Floats, sample: Sample) -> Floats:
    """Predictions of every fold, unbounded; arguments and result as `reward_model.fit_tables`.

    Args:
        params: ridges.
        design: (m, k, p) features.
        sample: with `behavior` and `target`; `weight` counts in the pilot and in the fit.

    Raises:
        ValueError: the sample lacks the two policies, or no training row of some fold has weight.
    """
    if sample.behavior is None or sample.target is None:
        raise ValueError(
            "reward model mrdr needs sample.behavior and sample.target (m, k): it is fitted to one estimate"
        )
    ratio, weight = importance(sample.target, sample.behavior), 1.0 if sample.weight is None else sample.weight
    at = ratio[sample.row, sample.slot]
    squared = sample._replace(weight=weight * at**2)
    check_sample(design, squared)
    pilot = ridge_tables(RidgeParams(params.pilot_ridge), design, squared)
    quadratic = _quadratic(design, sample, sample.target * ratio)
    instrument = at[:, None] * design[sample.row, sample.slot] - _mean(design, sample)[sample.row]
    penalty, found = params.ridge * np.eye(design.shape[2]), np.empty_like(pilot)
    for held_out in range(sample.n_folds):
        train = sample.fold != held_out
        error = sample.reward[train] - pilot[held_out, sample.row[train], sample.slot[train]]
        moment = ((weight * at)[train] * error) @ instrument[train]
        found[held_out] = pilot[held_out] + design @ np.linalg.solve(quadratic[held_out] + penalty, moment)
    return found


def _mean(design: Floats, sample: Sample) -> Floats:
    """(m, p) features of the target's supported part, in expectation."""
    assert sample.behavior is not None and sample.target is not None
    return np.asarray((np.where(sample.behavior > 0, sample.target, 0.0)[:, None] @ design)[:, 0])


def _quadratic(design: Floats, sample: Sample, square: Floats) -> Floats:
    """(folds, p, p) sum over the other folds' rows of X' (diag(target^2 / behavior) - target target') X."""
    m, k, p = design.shape
    flat, mean = design.reshape(m * k, p), _mean(design, sample)
    parts = []
    for fold in range(sample.n_folds):
        mine = sample.fold == fold
        met = np.bincount(sample.row[mine], weights=None if sample.weight is None else sample.weight[mine], minlength=m)
        parts.append((flat * (met[:, None] * square).reshape(-1, 1)).T @ flat - (mean * met[:, None]).T @ mean)
    return others(np.stack(parts))
