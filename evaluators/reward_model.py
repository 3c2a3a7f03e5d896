"""Cross-fitted ridge regression of the reward: predictions by a model that did not see the row.

Cross-fitting keeps doubly robust scores unbiased. Contexts repeat, so features come as a table of
the c distinct (context, window) pairs and an index: nothing of size (n, k, p) is ever built.
Centred on the mean reward of the training folds; give the design a column of ones all the same.
Source: Chernozhukov et al. (2018), section 3, for cross-fitting.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.rows import Floats, Ints, RewardRange

__all__ = ["Params", "clip", "cross_fit", "make_folds"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the reward model."""

    ridge: float = field(default=1.0, metadata={"gt": 0.0, "unit": "rows at unit features"})
    n_folds: int = field(default=5, metadata={"ge": 2})


def make_folds(rng: np.random.Generator, n: int, *, n_folds: int, cluster: Ints | None = None) -> Ints:
    """Deal rows into folds of near-equal size; rows of one cluster share a fold.

    Args:
        rng: where the deal comes from.
        n: rows.
        n_folds: folds, at least 2.
        cluster: (n,) labels; None deals rows one by one.

    Returns:
        (n,) fold of each row, in [0, n_folds).

    Raises:
        ValueError: fewer rows or clusters than folds, or `cluster` of another length.
    """
    if cluster is not None and cluster.shape != (n,):
        raise ValueError(f"cluster has shape {cluster.shape}, need ({n},)")
    label, index = np.unique(np.arange(n) if cluster is None else cluster, return_inverse=True)
    if not 2 <= n_folds <= label.size:
        what = "rows" if cluster is None else "clusters"
        raise ValueError(f"n_folds = {n_folds}, need 2 <= n_folds <= {label.size} {what}")
    dealt = rng.permutation(label.size) % n_folds
    return np.asarray(dealt[index], dtype=np.int64)


def cross_fit(design: Floats, *, row: Ints, slot: Ints, reward: Floats, fold: Ints, ridge: float) -> Floats:
    """Predict every slot of every row by ridge regression on the other folds.

    Args:
        design: (c, k, p) features of each slot of each distinct (context, window).
        row: (n,) which of the c pairs each row met.
        slot: (n,) logged slot.
        reward: (n,) reward units.
        fold: (n,) from `make_folds`; each fold is predicted by the others.
        ridge: added to the diagonal of the Gram matrix, > 0.

    Returns:
        (n, k) predictions in reward units, unbounded: see `clip`.

    Raises:
        ValueError: ridge not positive, lengths that disagree, an index outside the design, a number
            that is not finite, or a fold that holds every row.
    """
    _check(design, row=row, slot=slot, reward=reward, fold=fold, ridge=ridge)
    logged_features = design[row, slot]
    n_folds = int(fold.max()) + 1
    penalty = ridge * np.eye(design.shape[2])
    weight = np.empty((n_folds, design.shape[2]))
    mean = np.empty(n_folds)
    for held_out in range(n_folds):
        train = fold != held_out
        features = logged_features[train]
        mean[held_out] = reward[train].mean()
        gram = features.T @ features + penalty
        moment = features.T @ (reward[train] - mean[held_out])
        weight[held_out] = np.linalg.solve(gram, moment)
    table = np.moveaxis(design @ weight.T + mean, 2, 0)  # (folds, c, k)
    return np.ascontiguousarray(table[fold, row])


def clip(predicted: Floats, reward_range: RewardRange | None) -> Floats:
    """Predictions moved into the declared range; unchanged where none is declared.

    >>> clip(np.array([-0.2, 0.4]), RewardRange(0.0, 1.0))
    array([0. , 0.4])
    """
    return predicted if reward_range is None else np.clip(predicted, *reward_range)


def _check(design: Floats, *, row: Ints, slot: Ints, reward: Floats, fold: Ints, ridge: float) -> None:
    if not ridge > 0:
        raise ValueError(f"ridge = {ridge:.6g}, need > 0 (0 has no unique solution on small logs)")
    n = row.size
    for name, given in (("slot", slot), ("reward", reward), ("fold", fold)):
        if given.shape != (n,) or n == 0:
            raise ValueError(f"{name} has shape {given.shape}, need ({n},) like row, and not empty")
    for name, index, limit in (("row", row, design.shape[0]), ("slot", slot, design.shape[1])):
        bad = index[(index < 0) | (index >= limit)]
        if bad.size:
            raise ValueError(f"{name} = {bad[0]} somewhere, need 0 <= {name} < {limit}, as design")
    if not (np.isfinite(reward).all() and np.isfinite(design).all()):
        raise ValueError("reward or design holds NaN or infinity; need finite numbers")
    sizes = np.bincount(fold)
    if sizes.max() == n:
        raise ValueError(f"fold {sizes.argmax()} holds all {n} rows; nothing left to fit")
