"""Kernels: how much an action a little way off says of this one, by the distance in bandwidths.

Each is 0 beyond one bandwidth but the Gaussian, whose bandwidth is a standard deviation, and
integrates to 1 over the whole line. `mass` is that integral up to a point, so that a kernel can be
cut at the end of an axis.
Source: Silverman (1986), section 3.3; Kallus & Zhou (2018) for kernels in off-policy evaluation.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from evaluators.rows import Floats

KERNELS: dict[str, Callable[[Floats], Floats]] = {
    "epanechnikov": lambda u: np.asarray(0.75 * np.maximum(1 - u * u, 0.0)),
    "gaussian": lambda u: np.asarray(np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)),
    "triangular": lambda u: np.asarray(np.maximum(1 - np.abs(u), 0.0)),
    "uniform": lambda u: np.asarray(0.5 * (np.abs(u) <= 1)),
}
_MASSES: dict[str, Callable[[Floats], Floats]] = {
    "epanechnikov": lambda u: np.asarray(0.5 + 0.75 * u - 0.25 * u**3),
    "gaussian": lambda u: np.asarray(ndtr(u)),
    "triangular": lambda u: np.asarray(0.5 + u - 0.5 * u * np.abs(u)),
    "uniform": lambda u: np.asarray(0.5 + 0.5 * u),
}
NAMES = tuple(KERNELS)


def density(name: str, distance: Floats) -> Floats:
    """The kernel at distances in bandwidths, same shape.

    >>> density("epanechnikov", np.array([0.0, 0.5, 2.0]))
    array([0.75  , 0.5625, 0.    ])
    """
    return KERNELS[name](distance)


def mass(name: str, distance: Floats) -> Floats:
    """Its integral from minus infinity to a signed distance in bandwidths, same shape, 0..1.

    >>> mass("triangular", np.array([-1.0, 0.0, 7.0]))
    array([0. , 0.5, 1. ])
    """
    inside = distance if name == "gaussian" else np.clip(distance, -1.0, 1.0)
    return _MASSES[name](inside)


def between(name: str, left: Floats, right: Floats, *, bandwidths: tuple[float, ...]) -> Floats:
    """Product kernel of two sets of points.

    Args:
        name: one of NAMES.
        left: (..., axes) in each axis's unit.
        right: (..., axes), of a shape that broadcasts.
        bandwidths: one per axis, in its unit.

    Returns:
        (...) product over the axes of the kernel of their distance in bandwidths.
    """
    product = density(name, (left[..., 0] - right[..., 0]) / bandwidths[0])
    for axis in range(1, len(bandwidths)):
        product = product * density(name, (left[..., axis] - right[..., axis]) / bandwidths[axis])
    return product
