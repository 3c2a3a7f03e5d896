"""Logistic regression on weighted cells, by Newton's method: a probability that is linear in log-odds.

A cell is one feature vector with how often (or with what weight) each of the two outcomes was seen in
it, so that a log whose contexts repeat costs its distinct contexts and slots only.
Source: McCullagh & Nelder (1989), section 4.4.
"""

import numpy as np
from scipy.special import expit

from evaluators.rows import Floats

MAX_STEPS = 100
TOLERANCE = 1e-10  # of the Newton decrement, per unit of weight
HALVINGS = 30


def fit_logistic(features: Floats, positive: Floats, negative: Floats, *, ridge: float) -> Floats:
    """Coefficients that minimise the weighted log-loss plus ridge |beta|^2 / 2.

    Args:
        features: (cells, p); give them a column of ones, whose coefficient is shrunk like the others.
        positive: (cells,) weight of the first outcome, >= 0.
        negative: (cells,) weight of the second.
        ridge: > 0.

    Returns:
        (p,) coefficients of the log-odds of the first outcome.

    Raises:
        ValueError: shapes that disagree, a weight below 0, numbers that are not finite, ridge not
            positive, or no convergence in 100 steps.

    >>> fit_logistic(np.ones((1, 1)), np.array([3.0]), np.array([1.0]), ridge=1e-9).round(6)
    array([1.098612])
    """
    _check(features, positive, negative, ridge=ridge)
    weight, beta = positive + negative, np.zeros(features.shape[1])
    loss = _loss(features, positive, negative, beta=beta, ridge=ridge)
    for _ in range(MAX_STEPS):
        share = expit(features @ beta)
        gradient = features.T @ (weight * share - positive) + ridge * beta
        curved = (features * (weight * share * (1 - share))[:, None]).T @ features
        step = np.linalg.solve(curved + ridge * np.eye(beta.size), gradient)
        if gradient @ step <= TOLERANCE * max(float(weight.sum()), 1.0):
            return beta - step
        for halving in range(HALVINGS):
            tried = beta - step / 2**halving
            tried_loss = _loss(features, positive, negative, beta=tried, ridge=ridge)
            if tried_loss < loss:
                break
        beta, loss = tried, tried_loss
    raise ValueError(f"no convergence in {MAX_STEPS} Newton steps; scale the features or raise ridge = {ridge:.3g}")


def _loss(features: Floats, positive: Floats, negative: Floats, *, beta: Floats, ridge: float) -> float:
    logit = features @ beta
    loss = positive @ np.logaddexp(0.0, -logit) + negative @ np.logaddexp(0.0, logit)
    return float(loss + ridge * beta @ beta / 2)


def _check(features: Floats, positive: Floats, negative: Floats, *, ridge: float) -> None:
    if not ridge > 0:
        raise ValueError(f"ridge = {ridge:.6g}, need > 0 (without it separated cells have no finite fit)")
    n = len(features)
    for name, values in (("positive", positive), ("negative", negative)):
        if values.shape != (n,) or not (values >= 0).all() or not np.isfinite(values).all():
            raise ValueError(f"{name} has shape {values.shape}, need ({n},) finite weights >= 0, one per cell")
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity; need finite numbers")
