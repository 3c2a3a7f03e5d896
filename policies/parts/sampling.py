"""Fixed numbers in place of random ones: even points in a fixed order, and what they select."""

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, is_jax, namespace

__all__ = ["STEPS", "constant", "even", "first_above", "row_of"]

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
    """(r,) int64: the first entry of a cumulative sum (n,) that exceeds its total times `at` (r,).

    >>> first_above(np.array([1.0, 1.0, 4.0]), np.array([0.1, 0.3, 0.99])).tolist()
    [0, 2, 2]
    """
    xp, aim = namespace(reach), at * reach[-1]
    if xp is np or is_jax(reach):
        found = xp.astype(xp.searchsorted(reach, aim, side="right"), xp.int64)
    else:  # a traced graph has no search
        found = xp.sum(xp.astype(reach[None, :] <= aim[:, None], xp.int64), axis=-1, dtype=xp.int64)
    return xp.clip(found, 0, reach.shape[0] - 1)


def row_of(x: Array, index: Array) -> Array:
    """`x[index]` of (r, ...) by a () index; a traced graph keeps its shapes through `take` alone.

    >>> row_of(np.array([[1, 2], [3, 4]]), np.int32(1)).tolist()
    [3, 4]
    """
    xp = namespace(x)
    if xp is np or is_jax(x):
        return x[index]
    return xp.take(x, xp.reshape(xp.astype(index, xp.int64), (1,)), axis=0)[0, ...]
