"""Cross-fitted ridge regression for thousands of logs at once: all their Gram matrices together.

The same model as `reward_model.tables`, with a leading axis of logs and the folds dealt once for all of
them (the logs are independent rows, so any deal is as good). Either all slots share their coefficients, on
features (m, k, p) of every slot, or every slot has its own, on features (m, p) of the context: what a slot
learns then stays its own, and nothing of size m k p is needed. Predictions come per row met: c = logs x n.
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, Ints

__all__ = ["Fits", "Logs", "fit", "predict"]

ENTRIES = 2**22  # of the (rows, p^2) products held at once


class Logs(NamedTuple):
    """L logs of n rows, folds dealt once."""

    row: Ints  # (L, n) which of the m contexts each row met
    slot: Ints  # (L, n)
    reward: Floats  # (L, n) reward units
    fold: Ints  # (n,) fold of each place, the same in every log


class Fits(NamedTuple):
    """One regression per log, fold and group of slots."""

    coefficient: Floats  # (L, folds, g, p); g = 1 where slots share, k where each has its own
    mean: Floats  # (L, folds) mean reward of the other folds


def fit(logs: Logs, features: Floats, *, ridge: float, n_slots: int = 0) -> Fits:
    """Fit every log's folds by their other folds.

    Args:
        logs: rows of every log.
        features: (m, k, p) of every slot, or with `n_slots` (m, p) of the context.
        ridge: added to the diagonals, > 0.
        n_slots: slots with coefficients of their own; 0: all share them.

    Raises:
        ValueError: ridge not positive, features of another form, folds that do not fit the rows, or a
            fold that holds every row.
    """
    _check(logs, features, ridge=ridge, n_slots=n_slots)
    n_folds, p = int(logs.fold.max()) + 1, features.shape[-1]
    coefficient = np.empty((len(logs.row), n_folds, n_slots or 1, p))
    mean = np.empty((len(logs.row), n_folds))
    size = max(ENTRIES // (logs.row.shape[1] * p * p), 1)
    rest = 1.0 - np.eye(n_folds)
    for begin in range(0, len(logs.row), size):
        part = slice(begin, begin + size)
        block = logs._replace(row=logs.row[part], slot=logs.slot[part], reward=logs.reward[part])
        counts = np.bincount(logs.fold, minlength=n_folds)
        rewards = np.stack([block.reward[:, logs.fold == f].sum(axis=1) for f in range(n_folds)], axis=1)
        mean[part] = rewards @ rest / (counts @ rest)
        sums = np.einsum("fh,lhgij->lfgij", rest, _sums(block, features, n_folds=n_folds, n_slots=n_slots))
        moment = sums[..., :p, p + 1] - mean[part, :, None, None] * sums[..., :p, p]
        gram = sums[..., :p, :p] + ridge * np.eye(p)
        coefficient[part] = np.linalg.solve(gram, moment[..., None])[..., 0]
    return Fits(coefficient, mean)


def predict(fits: Fits, logs: Logs, features: Floats) -> Floats:
    """Every slot of every row, by the fit that did not see the row.

    Args:
        fits: of these logs.
        logs: the same rows.
        features: as given to `fit`.

    Returns:
        (L n, k) reward units, unbounded (see `reward_model.clip`), log after log: rows of their own.
    """
    n_logs, n = logs.row.shape
    k = features.shape[1] if features.ndim == 3 else fits.coefficient.shape[2]
    found = np.empty((n_logs, n, k))
    for fold in range(fits.mean.shape[1]):
        mine = np.flatnonzero(logs.fold == fold)
        for log in range(n_logs):
            beta, at = fits.coefficient[log, fold], features[logs.row[log, mine]]
            found[log, mine] = fits.mean[log, fold] + (at @ beta[0] if features.ndim == 3 else at @ beta.T)
    return found.reshape(n_logs * n, k)


def _sums(logs: Logs, features: Floats, *, n_folds: int, n_slots: int) -> Floats:
    """(L, folds, g, p, p + 2) sums of x (x, 1, reward)."""
    x = features[logs.row] if n_slots else features[logs.row, logs.slot]
    columns = np.concatenate([x, np.ones((*logs.row.shape, 1)), logs.reward[..., None]], axis=-1)
    places = [np.flatnonzero(logs.fold == fold) for fold in range(n_folds)]
    if not n_slots:
        parts = [np.swapaxes(x[:, at], -1, -2) @ columns[:, at] for at in places]
        return np.stack(parts, axis=1)[:, :, None]
    n_logs, p = len(logs.row), features.shape[-1]
    label = ((np.arange(n_logs)[:, None] * n_folds + logs.fold) * n_slots + logs.slot).reshape(-1)
    order = np.argsort(label, kind="stable")
    met, starts = np.unique(label[order], return_index=True)
    flat, sums = columns.reshape(-1, p + 2)[order], np.zeros((n_logs * n_folds * n_slots, p, p + 2))
    sums[met] = np.add.reduceat(flat[:, :p, None] * flat[:, None], starts, axis=0)
    return sums.reshape(n_logs, n_folds, n_slots, p, p + 2)


def _check(logs: Logs, features: Floats, *, ridge: float, n_slots: int) -> None:
    if not ridge > 0:
        raise ValueError(f"ridge = {ridge:.6g}, need > 0 (0 has no unique solution on small logs)")
    if features.ndim != (2 if n_slots else 3) or not np.isfinite(features).all():
        raise ValueError(f"features have shape {features.shape}, need finite (m, k, p), or (m, p) with n_slots")
    if logs.row.ndim != 2 or logs.fold.shape != logs.row.shape[1:] or logs.slot.shape != logs.row.shape:
        raise ValueError(f"row has shape {logs.row.shape} and fold {logs.fold.shape}, need (logs, n) and (n,)")
    if logs.slot.max() >= (n_slots or features.shape[1]) or logs.row.max() >= len(features):
        raise ValueError("a slot or a row lies outside the features; need 0 <= index < their sizes")
    sizes = np.bincount(logs.fold)
    if sizes.max() == logs.fold.size:
        raise ValueError(f"fold {sizes.argmax()} holds all {logs.fold.size} rows; nothing left to fit")
