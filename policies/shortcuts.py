"""NumPy calls without the layers of Python between them and the loop in C that they end in.

A shortcut returns the bits, shape and dtype that its call returns, and is chosen by examples of the call's
arguments, so it holds for all arguments of their shapes, dtypes and layouts. In place of a 0-d array it may return
a NumPy scalar, and in place of a copy the array itself.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Call", "itself", "shorter"]

_REDUCTIONS: dict[Any, tuple[np.ufunc, Any]] = {
    np.sum: (np.add, None),
    np.prod: (np.multiply, None),
    np.max: (np.maximum, None),
    np.min: (np.minimum, None),
    np.any: (np.logical_or, bool),
    np.all: (np.logical_and, bool),
}
_NAMES = ("add", "sub", "mul", "truediv", "lt", "le", "eq", "ne", "gt", "ge")
_ELEMENTWISE = tuple(getattr(operator, f"__{name}__") for name in _NAMES)
_METHODS: dict[Any, Any] = {np.take: np.ndarray.take, np.reshape: np.ndarray.reshape}


class Call(NamedTuple):
    """A function, its positional arguments, its options."""

    function: Any
    args: tuple[Any, ...]
    options: dict[str, Any] = {}


def itself(x: Any) -> Any:
    """What it is given: the function of a call that need not be made."""
    return x


def _behind(function: Any) -> Any:
    """A NumPy function without its search for arrays of other libraries."""
    return getattr(function, "__wrapped__", function)


def _select(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


def _sorted(x: Any) -> Any:
    copy = x.copy()
    copy.sort()
    return copy


def _mean(x: Any, axis: int) -> Any:
    return np.add.reduce(x, axis) / x.shape[axis]


def _row(*items: Any) -> Any:
    return np.array(items)


def _gathered(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """A function of one sequence, called with its items."""
    return lambda *items: function(items, **options)


def _of_sequence(call: Call, items: list[Any] | tuple[Any, ...]) -> Call:
    function, args, options = call
    if function is np.stack and all(np.ndim(x) == 0 for x in items) and len({np.result_type(x) for x in items}) == 1:
        return Call(_row, tuple(args[0]))
    return Call(_gathered(_behind(function), options), tuple(args[0]))


def _where(call: Call, examples: tuple[Any, ...]) -> Call:
    """A branch where the condition is a scalar and nothing is broadcast; else plain numbers become arrays once."""
    value = np.where(*examples)
    args = tuple(x if hasattr(x, "dtype") else np.array(x, value.dtype)[()] for x in call.args)
    fits = (_fits(x, value) for x in examples[1:])
    if np.ndim(examples[0]) == 0 and all(fits):
        return Call(_select, args)
    return Call(_behind(np.where), tuple(np.array(x) if isinstance(x, np.generic) else x for x in args))


def _fits(x: Any, value: Any) -> bool:
    """Whether an example may stand for the value it is selected for."""
    if isinstance(x, np.ndarray):
        return bool(x.dtype == value.dtype and x.shape == value.shape and x.flags.c_contiguous)
    return bool(value.shape == () and getattr(x, "dtype", value.dtype) == value.dtype)


def _elementwise(call: Call, examples: tuple[Any, ...]) -> Call:
    """Plain numbers beside arrays of the result's dtype become arrays of it once, not at every call."""
    kinds = {x.dtype for x in examples if isinstance(x, np.ndarray)}
    if kinds != {np.result_type(*examples)}:
        return call
    return call._replace(args=tuple(np.array(x, *kinds) if type(x) in (int, float) else x for x in call.args))


def _cast(call: Call, first: Any) -> Call:
    kind = np.dtype(call.args[1])
    if isinstance(first, np.generic):
        return Call(np.generic.astype, (call.args[0], kind))
    if not isinstance(first, np.ndarray):
        return call
    is_there = first.dtype == kind and first.flags.c_contiguous
    return Call(itself, call.args[:1]) if is_there else Call(np.ndarray.astype, (call.args[0], kind))


def shorter(call: Call, examples: tuple[Any, ...]) -> Call:
    """A call that returns the same, sooner.

    Args:
        call: a NumPy function, or a function of `operator`; some arguments may stand for arrays to come.
        examples: the arguments, with an array of the right shape, dtype and layout for each that stands for one.

    >>> shorter(Call(np.sum, (np.ones(3),), {"axis": 0}), (np.ones(3),)).function
    <built-in method reduce of numpy.ufunc object at ...>
    """
    function, args, options = call
    if isinstance(examples[0], list | tuple):
        return _of_sequence(call, examples[0])
    if function in _ELEMENTWISE or (isinstance(function, np.ufunc) and function is not np.power):
        return _elementwise(call, examples)
    if function is np.where:
        return _where(call, examples)
    if function is np.astype:
        return _cast(call, examples[0])
    if type(examples[0]) is not np.ndarray:
        return call
    if function in _REDUCTIONS and len(args) == 1 and options.keys() <= {"axis", "dtype"}:
        ufunc, dtype = _REDUCTIONS[function]
        return Call(ufunc.reduce, (*args, options.get("axis"), options.get("dtype", dtype)))
    if function is np.mean and examples[0].dtype == np.float64 and options == {"axis": 0}:
        return Call(_mean, (*args, 0))
    if function is np.sort and examples[0].ndim == 1 and options == {"stable": False}:
        return Call(_sorted, args)
    return call._replace(function=_METHODS.get(function, _behind(function)))
