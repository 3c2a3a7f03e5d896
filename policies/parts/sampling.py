"""Fixed numbers in place of random ones: even points in a fixed order, and what they select."""

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace

__all__ = ["STEPS", "constant", "even", "first_above"]

STEPS = (0.6180339887498949, 0.7548776662466927, 0.8191725133961645)  # 1 / x where x^(d + 1) = x + 1, d = 1, 2, 3


def constant(like: Array, values: object) -> Array:
    """NumPy values in the library and dtype of `like`."""
    xp = namespace(like)
    return xp.astype(xp.asarray(np.asarray(values)), like.dtype)


def even(n: int, step: float) -> NDArray[np.float64]:
    """(n,) the midpoints of n equal parts of (0, 1), in the order of the multiples of `step` modulo 1.

    >>> even(4, STEPS[0]).tolist()
    [0.625, 0.125, 0.875, 0.375]
    """
    return (np.argsort(np.argsort((np.arange(n) + 1.0) * step % 1.0)) + 0.5) / n


def first_above(reach: Array, at: Array) -> Array:
    """(r,) int32: the first entry of a cumulative sum (n,) that exceeds its total times `at` (r,).

    >>> first_above(np.array([1.0, 1.0, 4.0]), np.array([0.1, 0.3, 0.99])).tolist()
    [0, 2, 2]
    """
    xp = namespace(reach)
    below = xp.astype(reach[None, :] <= at[:, None] * reach[-1], xp.int32)
    return xp.clip(xp.sum(below, axis=-1, dtype=xp.int32), 0, reach.shape[0] - 1)
