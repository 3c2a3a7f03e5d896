"""What one answer scores around its mean: five kinds of noise, each with exactly that mean.

`binomial`: checks passed out of n (n = 1: right or wrong). `graded`: anything in [0, 1], by
the quantile function of a Kumaraswamy distribution. `gaussian` and `heavy` (Student's t with
3 degrees of freedom, whose fourth moment is infinite) leave [0, 1]: rewards then have no
declared range. Their spread may grow with temperature.
Source: Kumaraswamy (1980); its two parameters are matched to mean and variance numerically.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace

__all__ = ["BOUNDED", "MAX_CHECKS", "Leaves", "Params", "draw", "leaves", "n_normal"]

Floats = NDArray[np.float64]
KINDS = ("binomial", "graded", "gaussian", "heavy")
BOUNDED = ("binomial", "graded")
MAX_CHECKS = 8
_LOG_A, _LOG_B = (-7.0, 6.0), (-45.0, 30.0)
KNOTS = 65  # means at which a Kumaraswamy distribution is matched; between them quantiles are mixed


@dataclass(frozen=True)
class Params:
    """How an answer's quality scatters around its mean m.

    Attributes:
        kind: `binomial`, `graded`, `gaussian` or `heavy`.
        checks: of `binomial`: quality is the share passed.
        spread: of `graded`: its variance is spread * m * (1 - m).
        sd: of `gaussian` and `heavy`: standard deviation at temperature 0.
        slope: of `gaussian` and `heavy`: the standard deviation is sd * (1 + slope * temperature).
    """

    kind: str = field(default="binomial", metadata={"choices": KINDS, "static": True})
    checks: int = field(default=5, metadata={"ge": 1, "le": MAX_CHECKS, "static": True, "unit": "graded items"})
    spread: float = field(default=0.2, metadata={"ge": 0.01, "le": 0.6, "unit": "of the largest variance"})
    sd: float = field(default=0.2, metadata={"gt": 0.0, "le": 10.0, "unit": "quality"})
    slope: float = field(default=0.0, metadata={"ge": 0.0, "le": 10.0, "unit": "per temperature"})


class Leaves(NamedTuple):
    """`Params` as numbers: () each; (KNOTS,) inverse shape parameters of `graded`, (0,) elsewhere."""

    sd: Array
    slope: Array
    inverse_a: Array
    inverse_b: Array


def leaves(params: Params) -> Leaves:
    """The numbers of a config."""
    table = _matched(params.spread) if params.kind == "graded" else (np.zeros(0), np.zeros(0))
    return Leaves(np.float64(params.sd), np.float64(params.slope), *table)


@cache
def _matched(spread: float) -> tuple[Floats, Floats]:
    """1/a and 1/b (KNOTS,) of the Kumaraswamy distributions of means 0, 1/64, ..., 1; the ends are not used."""
    from scipy.optimize import brentq  # slow import, and only `graded` needs it
    from scipy.special import betaln

    def off(log_b: float, a: float, mean: float) -> float:
        """How far a Kumaraswamy(a, b) lies above this mean, in logarithms."""
        return float(log_b + betaln(1.0 + 1.0 / a, math.exp(log_b))) - math.log(mean)

    def scale(a: float, mean: float) -> float:
        return math.exp(brentq(off, *_LOG_B, args=(a, mean), xtol=1e-14, rtol=1e-15))

    def excess(log_a: float, mean: float) -> float:
        """Variance above the wanted one; falls as a grows."""
        a = math.exp(log_a)
        if off(_LOG_B[1], a, mean) > 0.0:
            return -1.0  # so narrow that no b in range reaches the mean
        b = scale(a, mean)
        return b * math.exp(betaln(1.0 + 2.0 / a, b)) - mean * mean - spread * mean * (1.0 - mean)

    inverse_a, inverse_b = np.ones(KNOTS), np.ones(KNOTS)
    for i in range(1, KNOTS - 1):
        mean = i / (KNOTS - 1)
        a = math.exp(brentq(excess, *_LOG_A, args=(mean,), xtol=1e-12))
        inverse_a[i], inverse_b[i] = 1.0 / a, 1.0 / scale(a, mean)
    return inverse_a, inverse_b


def _binomial(mean: Array, uniform: Array, n: int) -> Array:
    """Share of n checks passed, the quantile function of a binomial: its mean over the uniform is `mean`."""
    xp = namespace(mean)
    rising, falling = [xp.ones_like(mean)], [xp.ones_like(mean)]
    for _ in range(n):
        rising.append(rising[-1] * mean)
        falling.append(falling[-1] * (1.0 - mean))
    passed, below = xp.zeros_like(mean), xp.zeros_like(mean)
    for j in range(n):
        below = below + math.comb(n, j) * rising[j] * falling[n - j]
        passed = passed + xp.where(uniform >= below, 1.0, 0.0)
    return passed / n


def _graded(numbers: Leaves, mean: Array, uniform: Array) -> Array:
    """Mixture of the quantiles at the two knots around the mean: linear in it, so the mean is exact."""
    xp = namespace(mean)
    place = xp.clip(mean, 0.0, 1.0) * (KNOTS - 1)
    left = xp.minimum(xp.floor(place), KNOTS - 2.0)
    low = xp.astype(left, xp.int32)
    log_left = xp.log1p(-uniform)

    def quantile(knot: Array) -> Array:
        inner = -xp.expm1(log_left * numbers.inverse_b[knot])
        value = xp.exp(numbers.inverse_a[knot] * xp.log(xp.where(inner > 0.0, inner, 1e-30)))
        value = xp.where(knot == 0, 0.0, xp.where(knot == KNOTS - 1, 1.0, value))
        return xp.where((inner > 0.0) | (knot == KNOTS - 1), value, 0.0)

    share = place - left
    return (1.0 - share) * quantile(low) + share * quantile(low + 1)


def draw(params: tuple[str, int], numbers: Leaves, mean: Array, *, heat: Array, noise: tuple[Array, Array]) -> Array:
    """The quality of one answer.

    Args:
        params: kind and number of checks.
        numbers: as `leaves`.
        mean: () its mean, 0..1.
        heat: () temperature, for spreads that grow with it.
        noise: () uniform, (2,) normals.
    """
    (kind, checks), (uniform, normal) = params, noise
    xp = namespace(mean)
    if kind == "binomial":
        return _binomial(mean, uniform, checks)
    if kind == "graded":
        return _graded(numbers, mean, uniform)
    spread = numbers.sd * (1.0 + numbers.slope * heat)
    if kind == "gaussian":
        return mean + spread * normal[0]
    chi_square = normal[1] * normal[1] - 2.0 * xp.log1p(-uniform)
    return mean + spread * normal[0] / xp.sqrt(chi_square)  # a t of 3 degrees, divided by its own sd, sqrt(3)


def n_normal(params: tuple[str, int]) -> int:
    """Normals that one draw of a kind needs.

    >>> n_normal(("binomial", 5)), n_normal(("heavy", 1))
    (0, 2)
    """
    return 0 if params[0] in BOUNDED else 2
