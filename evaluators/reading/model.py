"""A reward model for a log of any length: ridge regression from Gram matrices that merge, one set per fold.

Every action has a line of its own over the context, shrunk to the line that all actions share; where the actions have
coordinates (temperature, tokens) the shared line looks at them too, so an action seldom tried is not left alone.
One pass over the rows makes the sums, and each fold is predicted by the others'. Without a context it is the
mean reward of each action, shrunk to the mean of all.
Source: Efron & Morris (1973) for the shrinkage; Chernozhukov et al. (2018), section 3, for cross-fitting.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.reading.rejects import counted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

__all__ = ["Grams", "Params", "fitted", "gram_sums", "merge", "predict"]

MAX_BYTES = 2**28  # of all Gram matrices
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the reward model.

    Attributes:
        ridge: of the shared line, in rows at one standard deviation of each feature.
        own_ridge: of what is an action's own, the same unit.
        n_folds: each is predicted by the others.
    """

    ridge: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e6, "unit": "rows"})
    own_ridge: float = field(default=10.0, metadata={"gt": 0.0, "le": 1e9, "unit": "rows"})
    n_folds: int = field(default=5, metadata={"ge": 2, "le": 20, "unit": "folds"})


class Grams(NamedTuple):
    """Sums over rows of x x' and of x r per fold and action, x the context behind a leading 1."""

    gram: Floats  # (folds, actions, p, p)
    moment: Floats  # (folds, actions, p)


def _with_one(context: Floats | None, n: int) -> Floats:
    one = np.ones((n, 1))
    return one if context is None else np.concatenate([one, context], axis=1)


def gram_sums(context: Floats | None, action: Ints, *, reward: Floats, fold: Ints, shape: tuple[int, int]) -> Grams:
    """Sums of some rows.

    Args:
        context: (n, d); None: no context.
        action: (n,) place of the logged action among all.
        reward: (n,).
        fold: (n,) in [0, folds).
        shape: folds and actions.

    Raises:
        ValueError: Gram matrices that would take more than 256 MB.
    """
    x = _with_one(context, reward.size)
    p = x.shape[1]
    if 8 * shape[0] * shape[1] * p * p > MAX_BYTES:
        raise ValueError(
            f"a reward model of {shape[1]:,} actions x {p - 1} context columns in {shape[0]} folds needs more than "
            f"{MAX_BYTES >> 20} MB; name fewer context columns or categories, or none: experiment.model=null"
        )
    cell = fold * shape[1] + action
    order = np.argsort(cell, kind="stable")
    x, reward, cell = x[order], reward[order], cell[order]
    gram, moment = np.zeros((shape[0] * shape[1], p, p)), np.zeros((shape[0] * shape[1], p))
    begins = np.flatnonzero(np.diff(cell, prepend=-1))
    for begin, end in zip(begins, [*begins[1:], cell.size], strict=True):
        rows = x[begin:end]
        gram[cell[begin]] = rows.T @ rows
        moment[cell[begin]] = rows.T @ reward[begin:end]
    return Grams(gram.reshape(*shape, p, p), moment.reshape(*shape, p))


def merge(left: Grams, right: Grams) -> Grams:
    """Sums of two disjoint sets of rows as those of their union."""
    return Grams(left.gram + right.gram, left.moment + right.moment)


def fitted(params: Params, sums: Grams, *, points: Floats | None = None) -> Floats:
    """Weights of every action, for each fold from the rows of the others.

    Args:
        params: how hard to shrink.
        sums: of the whole log.
        points: (actions, axes) coordinates, NaN where unknown; None: actions are names.

    Returns:
        (folds, actions, p) weights of the context behind a leading 1.

    Raises:
        ValueError: one fold holds every row.
    """
    whole = Grams(sums.gram.sum(axis=0), sums.moment.sum(axis=0))
    n = whole.gram[:, 0, 0].sum()
    if (sums.gram[..., 0, 0].sum(axis=1) >= n).any():
        raise ValueError(f"one of {len(sums.gram)} folds holds all {counted(int(n))}; are all in one cluster?")
    frame = _frame(whole)
    hint = _hint(points, whole.gram[:, 0, 0])
    return np.stack(
        [_fit(params, Grams(whole.gram - g, whole.moment - m), frame, hint) for g, m in zip(*sums, strict=True)]
    )


def _frame(whole: Grams) -> Floats:
    """(p, p) from (1, x) to (1, standardised x)."""
    total = whole.gram.sum(axis=0)
    mean = total[0] / total[0, 0]
    variance = np.maximum(np.diag(total) / total[0, 0] - mean**2, 0.0)
    scale = np.where(variance > TINY * (1 + mean**2), 1 / np.sqrt(np.maximum(variance, TINY)), 0.0)
    frame = np.diag(np.append(1.0, scale[1:]))
    frame[1:, 0] = -mean[1:] * scale[1:]
    return frame


def _hint(points: Floats | None, count: Floats) -> Floats:
    """(actions, m) standardised coordinates and their squares, 0 where unknown or all the same."""
    if points is None:
        return np.zeros((count.size, 0))
    known = np.asarray(np.isfinite(points).all(axis=1))
    weight = np.where(known, count, 0.0) / max(count[known].sum(), 1.0)
    filled = np.where(known[:, None], points, 0.0)

    def standard(columns: Floats) -> Floats:
        mean = weight @ columns
        spread = np.sqrt(weight @ (columns - mean) ** 2)
        scaled = np.divide(columns - mean, spread, out=np.zeros_like(columns), where=spread > TINY * (1 + np.abs(mean)))
        return np.where(known[:, None], scaled, 0.0)

    first = standard(filled)
    return np.concatenate([first, standard(first**2)], axis=1)


def _fit(params: Params, sums: Grams, frame: Floats, hint: Floats) -> Floats:
    """(actions, p) weights from some folds."""
    gram = frame @ sums.gram @ frame.T
    moment = sums.moment @ frame.T
    p, m = gram.shape[-1], hint.shape[1]
    count = gram[:, :, 0]  # (actions, p) sums of the standardised rows, the first their number
    cross = count.T @ hint
    top = np.concatenate([gram.sum(axis=0), cross], axis=1)
    bottom = np.concatenate([cross.T, (hint * count[:, :1]).T @ hint], axis=1)
    penalty = np.append(TINY, np.full(p + m - 1, params.ridge))
    right = np.concatenate([moment.sum(axis=0), hint.T @ moment[:, 0]])
    shared = np.linalg.solve(np.concatenate([top, bottom]) + np.diag(penalty), right)
    offset = hint @ shared[p:]
    rest = moment - gram @ shared[:p] - count * offset[:, None]
    own = np.linalg.solve(gram + params.own_ridge * np.eye(p), rest[..., None])[..., 0]
    weights = np.asarray((shared[:p] + own) @ frame)
    weights[:, 0] += offset
    return weights


def predict(weights: Floats, context: Floats | None, *, fold: Ints, actions: Ints | None = None) -> Floats:
    """Predicted rewards of every slot of some rows, each by the model that did not see its fold.

    Args:
        weights: (folds, actions, p) as `fitted`.
        context: (n, d); None: no context.
        fold: (n,).
        actions: (n, k) which action stands in each slot; None: slot i is action i.

    Returns:
        (n, k) reward units, unbounded: see `evaluators.reward_model.clip`.
    """
    x = _with_one(context, fold.size)
    table = np.empty((fold.size, weights.shape[1] if actions is None else actions.shape[1]))
    for held_out in np.unique(fold):
        rows = np.flatnonzero(fold == held_out)
        whole = x[rows] @ weights[held_out].T
        table[rows] = whole if actions is None else np.take_along_axis(whole, actions[rows], axis=1)
    return table
