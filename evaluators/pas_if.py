"""Choose an estimator for this very target: split the log into a pseudo target and a pseudo logger.

Each row is dealt to the pseudo target's half with a learned probability rho(x, a), so that the halves
are logs of pi_b rho / m and pi_b (1 - rho) / (1 - m), with m(x) = sum_a pi_b rho: two policies whose
importance weights mimic the true ones. There the pseudo target's value is known, it is the mean reward
of its own half, so every estimator's squared error can be seen; repeated deals of resampled logs
average it, and the smallest mean wins. Rho is fitted by min E[(w~ - w)^2] + penalty E[(m - share)^2],
w~ = rho / (1 - rho) (1 - m) / m, the penalty being the one of a grid that fits best among those that
keep the mean of m within 0.02 of the wanted share.

Differences from the paper: rho is logistic in four features of (x, a) - or in one's own - fitted by
L-BFGS instead of a neural network by gradient descent; the distance is averaged over the logger's
distribution instead of over logged actions; rho is fitted once, on the log, not on each resampled one.
The errors seen share the noise of the pseudo target's mean: compare them, do not quote them.

Measured on 40 tasks (10 actions, random policies and reward models; IPS, clipped IPS, SNIPS, DM, DR,
SNDR, clipped DR, SWITCH), true mean squared error over that of the best candidate, geometric mean:
2.5, 1.7, 1.7 at n = 200, 1,000, 3,000; the average candidate 6.8, 9.3, 16; always IPS 12, 7.3, 5.7;
always DR 3.5, 2.2, 1.7. Always clipped DR does no worse (1.9, 1.4, 1.4), which one knows only afterwards.
Source: Udagawa, Kiyohara, Narita, Saito & Tateno (2023).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from evaluators.estimation import Estimator, finish, summarise
from evaluators.rows import Floats, Ints, Rows
from evaluators.scores import importance

__all__ = ["Params", "fit_split", "pseudo_errors", "select", "values_by"]

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # as in the authors' experiments
SHARE_SLACK = 0.02  # how far the mean share may stray from the wanted one
LEAST_WEIGHT = 1e-3  # lighter slots look alike to rho
MAX_DEALS = 1_000  # before a log is called too short
MAX_LOGIT = 15.0  # of rho: keeps both halves possible

Values = Callable[[Rows], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the selection."""

    share: float = field(default=0.2, metadata={"ge": 0.02, "le": 0.5, "unit": "share of rows"})
    n_repeats: int = field(default=30, metadata={"ge": 1, "le": 10_000, "unit": "deals"})


class Split(NamedTuple):
    """A learned deal of the rows, and the two policies it makes."""

    rate: Floats  # (c, k) rho: probability of the pseudo target's half
    behavior: Floats  # (c, k) pseudo logger
    target: Floats  # (c, k) pseudo target
    distance: float  # E[(w~ - w)^2] under the logger
    share: float  # mean of m


class Selection(NamedTuple):
    """The estimator chosen for a target, and what the choice rests on."""

    name: str
    errors: dict[str, float]  # mean squared errors on the pseudo problem, squared reward units
    split: Split


class _Problem(NamedTuple):
    features: Floats  # (c, k, p)
    behavior: Floats  # (c, k)
    weight: Floats  # (c, k) true
    times: Floats  # (c,) share of the rows that met each table row
    share: float


def features_of(rows: Rows) -> Floats:
    """(c, k, 4) features of rho: 1, log w, its square, log of the context's expected w^2."""
    weight = importance(rows.target, rows.behavior)
    log_weight = np.log(np.maximum(weight, LEAST_WEIGHT))
    square = np.log(np.maximum(np.vecdot(rows.target, weight), LEAST_WEIGHT))
    columns = (np.ones_like(weight), log_weight, log_weight**2, np.broadcast_to(square[:, None], weight.shape))
    return np.stack(columns, axis=-1)


def fit_split(rows: Rows, *, share: float = 0.2, features: Floats | None = None) -> Split:
    """Learn the deal whose pseudo weights mimic the true ones.

    Args:
        rows: checked rows whose logger is known at every slot.
        share: wanted share of the rows in the pseudo target's half.
        features: (c, k, p) what rho is logistic in, first a column of ones; None: `features_of`.

    Raises:
        ValueError: the rows are partial, or features of another shape.
    """
    if rows.is_partial:
        raise ValueError("behavior is known at the logged slot only; the pseudo policies need the whole window's")
    features = features_of(rows) if features is None else features
    if features.shape[:2] != rows.behavior.shape:
        raise ValueError(f"features have shape {features.shape}, need (c, k, p) with (c, k) = {rows.behavior.shape}")
    c, n = rows.behavior.shape[0], rows.slot.size
    times = np.ones(c) if rows.row is None else np.bincount(rows.row, minlength=c).astype(np.float64)
    problem = _Problem(features, rows.behavior, importance(rows.target, rows.behavior), times / n, share)
    splits = [_fit(problem, penalty) for penalty in PENALTIES]
    near = [split for split in splits if abs(split.share - share) <= SHARE_SLACK]
    return min(near, key=lambda s: s.distance) if near else min(splits, key=lambda s: abs(s.share - share))


def _fit(problem: _Problem, penalty: float) -> Split:
    start = np.zeros(problem.features.shape[2])
    start[0] = logit(problem.share)

    def loss(theta: Floats) -> tuple[float, Floats]:
        return _loss(theta, problem, penalty)

    theta = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    rate = expit(np.clip(problem.features @ theta, -MAX_LOGIT, MAX_LOGIT))
    mean = np.vecdot(problem.behavior, rate)[:, None]
    mimic = rate / (1 - rate) * (1 - mean) / mean
    distance = problem.times @ np.vecdot(problem.behavior, (mimic - problem.weight) ** 2)
    behavior, target = problem.behavior * (1 - rate) / (1 - mean), problem.behavior * rate / mean
    return Split(rate, behavior, target, float(distance), float(problem.times @ mean[:, 0]))


def _loss(theta: Floats, problem: _Problem, penalty: float) -> tuple[float, Floats]:
    """Distance plus penalty, and its gradient through both rho and m."""
    raw = problem.features @ theta
    rate = expit(np.clip(raw, -MAX_LOGIT, MAX_LOGIT))
    mean = np.vecdot(problem.behavior, rate)[:, None]
    odds = rate / (1 - rate)
    mimic = odds * (1 - mean) / mean
    gap, stray = mimic - problem.weight, mean - problem.share
    per_context = np.vecdot(problem.behavior, gap**2) + penalty * stray[:, 0] ** 2
    pull = 2 * problem.behavior * gap
    by_mean = 2 * penalty * stray - np.vecdot(pull, odds)[:, None] / mean**2
    by_logit = pull * mimic + by_mean * problem.behavior * rate * (1 - rate)
    by_logit = np.where(np.abs(raw) < MAX_LOGIT, by_logit, 0.0) * problem.times[:, None]
    return float(problem.times @ per_context), np.einsum("ck,ckp->p", by_logit, problem.features)


def pseudo_errors(
    rng: np.random.Generator, rows: Rows, *, split: Split, values: Values, n_repeats: int
) -> dict[str, float]:
    """Mean squared error of every estimator on the pseudo problem.

    Args:
        rng: deals and resamples.
        rows: checked rows; `predicted` goes along.
        split: the deal, from `fit_split`.
        values: estimates of all candidates on given rows, e.g. `values_by(estimators)`.
        n_repeats: resampled logs, each dealt once.

    Returns:
        Squared reward units by name; infinite where an estimator was undefined.

    Raises:
        ValueError: too few rows to make two halves of.
    """
    n = rows.slot.size
    if n < 2:
        raise ValueError(f"{n} rows, need at least 2 to make two halves")
    met = np.arange(n) if rows.row is None else rows.row
    rate = rows.at(split.rate)
    squares: dict[str, list[float]] = {}
    for _ in range(n_repeats):
        ours, theirs = _deal(rng, rate)
        truth = rows.reward[ours].mean()
        cluster = None if rows.cluster is None else rows.cluster[theirs]
        pseudo = rows._replace(reward=rows.reward[theirs], slot=rows.slot[theirs], row=met[theirs], cluster=cluster)
        for name, value in values(pseudo._replace(behavior=split.behavior, target=split.target)).items():
            squares.setdefault(name, []).append((value - truth) ** 2)
    means = {name: float(np.mean(found)) for name, found in squares.items()}
    return {name: mean if np.isfinite(mean) else float("inf") for name, mean in means.items()}


def _deal(rng: np.random.Generator, rate: Floats) -> tuple[Ints, Ints]:
    """Resample the rows and deal them until neither half is empty."""
    for _ in range(MAX_DEALS):
        drawn = rng.integers(rate.size, size=rate.size)
        is_ours = rng.random(rate.size) < rate[drawn]
        if 0 < is_ours.sum() < rate.size:
            return drawn[is_ours], drawn[~is_ours]
    raise ValueError(f"{MAX_DEALS} deals of {rate.size} rows left a half empty, need more rows or a larger share")


def values_by(estimators: Mapping[str, Estimator]) -> Values:
    """Estimates of the estimators of `evaluators/estimators/`, in one pass over the rows."""

    def values(rows: Rows) -> dict[str, float]:
        sums = summarise(estimators, rows)
        return {name: finish(params, sums[name]).value for name, params in estimators.items()}

    return values


def select(
    rng: np.random.Generator,
    rows: Rows,
    *,
    values: Values,
    params: Params | None = None,
    features: Floats | None = None,
) -> Selection:
    """Choose the estimator of the smallest error on the pseudo problem.

    Args:
        rng: deals and resamples.
        rows: checked rows, one target on one log.
        values: estimates of all candidates on given rows, e.g. `values_by(estimators)`.
        params: None takes the defaults.
        features: as `fit_split`.

    Raises:
        ValueError: as `fit_split` and `pseudo_errors`.
    """
    params = Params() if params is None else params
    split = fit_split(rows, share=params.share, features=features)
    errors = pseudo_errors(rng, rows, split=split, values=values, n_repeats=params.n_repeats)
    return Selection(min(errors, key=errors.__getitem__), errors, split)
