"""Ridge regression of the reward for logs in time order: every row is predicted from the rows before it.

A logger that learns makes later rows depend on earlier rewards, so ordinary folds leak: a model fitted on the
future knows what the noise of row t made the logger do. Fitting on the past alone keeps the scores of an
adaptive log unbiased. The model is refitted every few rows from running sums, so the whole log costs one pass.
The form is that of `reward_model`: centred on the mean reward of the rows it was fitted on.
Source: Hadad et al. (2021), section 2, for models that look only back.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from evaluators.rows import Floats, Ints

__all__ = ["Params", "predict"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the model."""

    ridge: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e9, "unit": "rows at unit features"})
    every: int = field(default=20, metadata={"ge": 1, "le": 10**6, "unit": "rows between fits"})


class _Fits(NamedTuple):
    """One ridge regression per block."""

    coefficient: Floats  # (blocks, p)
    mean: Floats  # (blocks,) mean reward of the rows before; `start` before the first


def predict(params: Params, design: Floats, *, row: Ints, slot: Ints, reward: Floats, start: float = 0.0) -> Floats:
    """Predict every slot of every row by ridge regression on earlier rows.

    Args:
        params: ridge and how often to refit: row t is predicted from the rows before the last multiple of `every`
            that is not above t.
        design: (c, k, p) features of each slot of each distinct (context, window).
        row: (n,) which of the c pairs each row met, in time order.
        slot: (n,) logged slot.
        reward: (n,) reward units.
        start: prediction of the first block, which has no rows before it, reward units; give a rough level of
            the reward, since a model far off in the first rows costs the interval coverage.

    Returns:
        (n, k) predictions in reward units, unbounded: see `reward_model.clip`.

    Raises:
        ValueError: lengths that disagree, an index outside the design, or a number that is not finite.
    """
    _check(design, row=row, slot=slot, reward=reward)
    fits = _fits(params, design[row, slot], reward=reward, start=start)
    predicted = np.empty((row.size, design.shape[1]))
    for block, first in enumerate(range(0, row.size, params.every)):
        now = slice(first, first + params.every)
        predicted[now] = design[row[now]] @ fits.coefficient[block] + fits.mean[block]
    return predicted


def _fits(params: Params, features: Floats, *, reward: Floats, start: float) -> _Fits:
    """Fit before every block from the running sums of the blocks before it."""
    n, p = features.shape
    starts = np.arange(0, n, params.every)
    padded = np.zeros((starts.size * params.every, p + 2))
    padded[:n] = np.column_stack([features, np.ones(n), reward])
    block = padded.reshape(starts.size, params.every, p + 2)
    # the sums of (features, 1, reward) with (features, 1), exclusive of the block itself
    sums = np.zeros((starts.size, p + 1, p + 2))
    np.cumsum((np.swapaxes(block[..., :-1], 1, 2) @ block)[:-1], axis=0, out=sums[1:])
    mean = np.full(starts.size, start)
    mean[1:] = sums[1:, p, p + 1] / starts[1:]
    gram = sums[:, :p, :p] + params.ridge * np.eye(p)
    moment = sums[:, :p, p + 1] - mean[:, None] * sums[:, :p, p]
    return _Fits(np.linalg.solve(gram, moment[..., None])[..., 0], mean)


def _check(design: Floats, *, row: Ints, slot: Ints, reward: Floats) -> None:
    n = row.size
    for name, given in (("slot", slot), ("reward", reward)):
        if given.shape != (n,) or n == 0:
            raise ValueError(f"{name} has shape {given.shape}, need ({n},) like row, and not empty")
    for name, index, limit in (("row", row, design.shape[0]), ("slot", slot, design.shape[1])):
        bad = index[(index < 0) | (index >= limit)]
        if bad.size:
            raise ValueError(f"{name} = {bad[0]} somewhere, need 0 <= {name} < {limit}, as design")
    if not (np.isfinite(reward).all() and np.isfinite(design).all()):
        raise ValueError("reward or design holds NaN or infinity; need finite numbers")
