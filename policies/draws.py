"""Fixed quasi-random standard normals: the constants behind every posterior draw.

A Richtmyer sequence (multiples of square roots of primes) through Box-Muller, made
antithetic, so the sample mean is exactly zero. The same numbers for every caller.
Source: Niederreiter (1992), section 3.1; Box & Muller (1958).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["normal_draws"]


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % p for p in found if p * p <= number):
            found.append(number)
        number += 1
    return found


@cache
def normal_draws(dimension: int, n_draws: int) -> NDArray[np.float64]:
    """(dimension, n_draws) standard normals; columns s and s + n_draws / 2 are opposite.

    Raises:
        ValueError: an odd number of draws.

    >>> z = normal_draws(3, 8)
    >>> z.shape, bool(np.all(z.sum(axis=1) == 0))
    ((3, 8), True)
    """
    if n_draws < 2 or n_draws % 2:
        raise ValueError(f"n_draws = {n_draws}, need an even number >= 2 (draws come in opposite pairs)")
    pairs = (dimension + 1) // 2
    roots = np.sqrt(np.array(_primes(2 * pairs), np.float64))
    points = (np.arange(1, n_draws // 2 + 1)[None, :] * roots[:, None] + 0.5) % 1.0
    radius = np.sqrt(-2.0 * np.log1p(-points[:pairs]))
    angle = 2.0 * np.pi * points[pairs:]
    half = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:dimension]
    half /= np.sqrt((half**2).mean(axis=1, keepdims=True))
    return np.concatenate([half, -half], axis=1)
