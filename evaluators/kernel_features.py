"""A lattice as points of a smooth function space: few features whose inner products are a kernel.

The kernel is a product of Matern-3/2 kernels, one per parameter axis, in the unit in which that
parameter acts: degrees of temperature, doublings of max_tokens. Its eigenvectors are products of
the axes' own, so no matrix over all actions is ever built. Keeping the leading ones smooths a
little more than the kernel says.
Source: Rasmussen & Williams (2006), equations 4.17 and 4.37 (eigenfunctions of a kernel).
"""

from functools import reduce

import numpy as np

from envs.lattice import MODEL, Lattice, places
from evaluators.rows import Floats

TOKENS = "max_tokens"  # acts by its logarithm
LENGTHS = {  # over this distance an effect loses half of its correlation (0.48)
    "temperature": 0.7,
    TOKENS: 1.5,  # doublings
    "top_p": 0.45,
    "frequency_penalty": 1.5,
    "presence_penalty": 1.5,
    MODEL: 1.5,  # places in the listed order
}
RANK = 40


def matern(distance: Floats) -> Floats:
    """The Matern-3/2 correlation at distances in units of the length scale, same shape.

    >>> matern(np.array([0.0, 1.0])).round(3).tolist()
    [1.0, 0.483]
    """
    scaled = np.sqrt(3.0) * distance
    return np.asarray((1 + scaled) * np.exp(-scaled))


def kernel_features(lattice: Lattice, *, rank: int = RANK) -> Floats:
    """One row per action; inner products of rows are the kernel's best approximation of that rank.

    Args:
        lattice: the actions, in the order of their ids.
        rank: features to keep.

    Returns:
        (actions, min(rank, actions)); squared row norms are at most 1.

    Raises:
        ValueError: `rank` is below 1, or an axis has no length scale here.
    """
    unknown = [axis.name for axis in lattice.axes if axis.name not in LENGTHS]
    if rank < 1 or unknown:
        raise ValueError(f"rank = {rank}, axes without a length scale: {unknown}; need rank >= 1 and none")
    values, vectors = zip(*(_axis_eigen(lattice, i) for i in range(len(lattice.axes))), strict=True)
    power = reduce(np.multiply.outer, values)
    kept = np.argsort(-power.ravel(), kind="stable")[:rank]
    grid = np.indices(lattice.shape).reshape(len(lattice.shape), -1)
    table = np.tile(np.sqrt(power.ravel()[kept]), (lattice.size, 1))
    for vector, coordinate, chosen in zip(vectors, grid, np.unravel_index(kept, power.shape), strict=True):
        table *= vector[coordinate][:, chosen]
    return table


def _axis_eigen(lattice: Lattice, index: int) -> tuple[Floats, Floats]:
    """Eigenvalues (m,), largest first and never below zero, and eigenvectors (m, m) of an axis's kernel."""
    axis = lattice.axes[index]
    place = np.array([float(number) for number in places(axis)])
    place = np.log2(place) if axis.name == TOKENS else place
    value, vector = np.linalg.eigh(matern(np.abs(place[:, None] - place) / LENGTHS[axis.name]))
    return np.maximum(value[::-1], 0.0), vector[:, ::-1]
