"""What the Python Array API leaves out, once, for NumPy, JAX and ONNX tracing.

Every function takes its namespace from its argument (`x.__array_namespace__()`), so
one definition serves the compiled simulation, the NumPy server and the exported graph.
Source: Cody (1969), "Rational Chebyshev approximations for the error function".
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

Array = Any  # a NumPy, JAX or ndonnx array; shapes stand in the docstrings
State = TypeVar("State")

_SMALL = 0.46875
_A: tuple[float, ...] = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2)
_A += (3.77485237685302021e2, 3.20937758913846947e3)
_B: tuple[float, ...] = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3)
_B += (2.84423683343917062e3,)
_C: tuple[float, ...] = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0)
_C += (6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2)
_C += (1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)
_D: tuple[float, ...] = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2)
_D += (1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3)
_D += (3.43936767414372164e3, 1.23033935480374942e3)
_P: tuple[float, ...] = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1)
_P += (1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4)
_Q: tuple[float, ...] = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1)
_Q += (6.05183413124413191e-2, 2.33520497626869185e-3)
_ROOT_PI = 1.7724538509055160
_ROOT_2 = 1.4142135623730951
_FEW_ROWS = 32


def namespace(x: Array) -> Any:
    """The array library that `x` belongs to.

    >>> import numpy as np
    >>> namespace(np.zeros(2)) is np
    True
    """
    return x.__array_namespace__()


def is_jax(x: Array) -> bool:
    """Whether `x` is a JAX array or tracer, told without importing JAX."""
    return bool(namespace(x).__name__ == "jax.numpy")


def _ratio(x: Array, top: tuple[float, ...], bottom: tuple[float, ...]) -> Array:
    numerator, denominator = top[0] * x + top[1], bottom[0] * x + bottom[1]
    for a, b in zip(top[2:], bottom[2:], strict=True):
        numerator, denominator = numerator * x + a, denominator * x + b
    return numerator / denominator


def _erfc_tail(y: Array) -> Array:
    """Erfc for y >= 0.46875: two rational forms, joined at 4."""
    xp = namespace(y)
    middle = _ratio(xp.where(y < 4.0, y, xp.zeros_like(y)), _C, _D)
    far = xp.where(y > 4.0, y, 4.0 * xp.ones_like(y))
    inverse = 1.0 / (far * far)
    outer = (1.0 / _ROOT_PI - inverse * _ratio(inverse, _P, _Q)) / far
    whole = xp.floor(y * 16.0) / 16.0  # exp(-y^2) in two factors keeps the last digits
    decay = xp.exp(-whole * whole) * xp.exp(-(y - whole) * (y + whole))
    return decay * xp.where(y <= 4.0, middle, outer)


def normal_cdf(x: Array) -> Array:
    """P(Z <= x) of a standard normal, elementwise; relative error below 2e-13 for x > -26.

    Args:
        x: any shape, finite.

    Returns:
        The same shape, in [0, 1].

    >>> import numpy as np
    >>> normal_cdf(np.array([0.0, 1.959963984540054])).round(12)
    array([0.5  , 0.975])
    """
    if is_jax(x):
        from jax.scipy.special import ndtr  # slow import, and there only when JAX is already in use

        return ndtr(x)
    xp = namespace(x)
    z = xp.clip(x / _ROOT_2, -26.0, 26.0)
    y = xp.abs(z)
    small = xp.where(y < _SMALL, z, xp.zeros_like(z))
    centre = 0.5 * small * _ratio(small * small, _A, _B)
    tail = 0.5 * _erfc_tail(xp.where(y < _SMALL, _SMALL * xp.ones_like(y), y))
    return xp.where(y < _SMALL, 0.5 + centre, xp.where(z > 0.0, 1.0 - tail, tail))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow; any shape.

    >>> import numpy as np
    >>> sigmoid(np.array([-800.0, 0.0]))
    array([0. , 0.5])
    """
    xp = namespace(x)
    decay = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0 / (1.0 + decay), decay / (1.0 + decay))


def set_row(x: Array, index: Array, row: Array) -> Array:
    """A copy of `x` (r, ...) with `x[index] = row`; the standard has no functional assignment."""
    if not is_jax(x):
        copy = x.copy()
        copy[index] = row
        return copy
    if x.shape[0] > _FEW_ROWS:
        return x.at[index].set(row)
    xp = namespace(x)  # a select over few rows compiles and runs faster than a scatter
    here = xp.reshape(xp.arange(x.shape[0], dtype=xp.int32) == index, (-1,) + (1,) * (x.ndim - 1))
    return xp.where(here, row, x)


def choose(condition: Array, new: State, old: State) -> State:
    """`new` where `condition` (a scalar) holds, else `old`, leaf by leaf and bit for bit.

    Args:
        condition: () boolean.
        new: a NamedTuple of arrays, NamedTuples nested at will.
        old: the same structure and dtypes.
    """
    return _leafwise(lambda a, b: namespace(a).where(condition, a, b), new, old)


def _leafwise(pick: Callable[[Array, Array], Array], new: State, old: State) -> State:
    if isinstance(new, tuple):
        leaves = [_leafwise(pick, a, b) for a, b in zip(new, cast(tuple[Any, ...], old), strict=True)]
        return cast(State, type(new)(*leaves))
    return cast(State, pick(new, old))
