"""Fixed standard normals: the constants behind every posterior draw.

Each row is a Latin hypercube of half normals with random signs, made orthogonal to the rows
before it in blocks of n_draws / 2, scaled to unit variance, then doubled by its opposite. So
means and variances are exact, rows of one block are exactly uncorrelated, and up to n_draws / 2
dimensions the draws have the posterior's own covariance. Rows of different blocks correlate as
independent draws do. The bits are a counter's: the same on every machine and for every caller.
Source: Owen (1994), "Controlling correlations in Latin hypercube samples", here with one full
Gram-Schmidt step; Salmon, Moraes, Dror & Shaw (2011) for the counter.
"""

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["normal_draws"]

SEED = 0


def _half_normals(dimension: int, half: int) -> NDArray[np.float64]:
    """(dimension, half) independent rows, one value in each of `half` equal parts of |Z|, in random order and sign."""
    raw = np.random.Philox(SEED).random_raw(dimension * 3 * half).reshape(dimension, 3, half)
    keys, jitter, signs = raw[:, 0], (raw[:, 1] >> np.uint64(11)) * 2.0**-53, raw[:, 2] >> np.uint64(63)
    share = (np.argsort(np.argsort(keys, axis=1), axis=1) + jitter) / half
    quantile = NormalDist().inv_cdf
    size = np.array([quantile(0.5 + 0.5 * x) for x in share.ravel().tolist()]).reshape(share.shape)
    return np.where(signs == 0, size, -size)


def _orthogonal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row less its share in those before it, at unit variance; subtracted twice, so that rounding is too."""
    done = np.zeros_like(rows)
    for i, row in enumerate(rows):
        for _ in range(2):
            row = row - (done[:i] @ row) @ done[:i] / rows.shape[1]
        done[i] = row / np.sqrt(np.mean(row**2))
    return done


@cache
def normal_draws(dimension: int, n_draws: int) -> NDArray[np.float64]:
    """(dimension, n_draws) standard normals; columns s and s + n_draws / 2 are opposite.

    The first rows of more dimensions are those of fewer.

    Raises:
        ValueError: an odd number of draws.

    >>> z = normal_draws(3, 8)
    >>> z.shape, bool(np.all(np.abs(z @ z.T / 8 - np.eye(3)) < 1e-12))
    ((3, 8), True)
    """
    if n_draws < 2 or n_draws % 2:
        raise ValueError(f"n_draws = {n_draws}, need an even number >= 2 (draws come in opposite pairs)")
    half = n_draws // 2
    rows = _half_normals(dimension, half)
    blocks = [_orthogonal(rows[first : first + half]) for first in range(0, dimension, half)]
    together = np.concatenate(blocks)
    return np.concatenate([together, -together], axis=1)
