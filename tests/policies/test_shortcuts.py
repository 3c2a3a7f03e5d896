"""A shortcut returns what its call returns, bit for bit."""

import operator
from typing import Any

import numpy as np
import pytest

from policies.shortcuts import Call, itself, shorter
from tests.hand import generator

RNG = generator()
VECTOR, TABLE = RNG.normal(size=75), RNG.normal(size=(75, 64))
MASK, WHOLE = VECTOR > 0.0, RNG.integers(0, 9, 75).astype(np.int32)
SCALAR = np.sum(VECTOR)
SHORT = {
    "sum": Call(np.sum, (VECTOR,)),
    "sum of rows": Call(np.sum, (TABLE,), {"axis": -1}),
    "sum of columns": Call(np.sum, (TABLE,), {"axis": 0}),
    "sum of a strided table": Call(np.sum, (TABLE.T[::2],), {"axis": -1}),
    "sum in another dtype": Call(np.sum, (WHOLE,), {"dtype": np.int32}),
    "product": Call(np.prod, (TABLE,), {"axis": 0}),
    "largest": Call(np.max, (TABLE,), {"axis": 0}),
    "smallest": Call(np.min, (VECTOR,)),
    "any": Call(np.any, (MASK,)),
    "any of numbers": Call(np.any, (TABLE,), {"axis": 1}),
    "all": Call(np.all, (MASK,)),
    "mean of one context": Call(np.mean, (VECTOR[None, :],), {"axis": 0}),
    "mean of many": Call(np.mean, (TABLE,), {"axis": 0}),
    "sort": Call(np.sort, (WHOLE,), {"stable": False}),
    "take": Call(np.take, (TABLE, WHOLE), {"axis": 0}),
    "reshape": Call(np.reshape, (TABLE, (64, 75))),
    "cast": Call(np.astype, (VECTOR, np.int32)),
    "cast of a scalar": Call(np.astype, (SCALAR, np.int32)),
    "cast to what it is": Call(np.astype, (VECTOR, np.float64)),
    "cast of a transposed table": Call(np.astype, (TABLE.T, np.float64)),
    "where": Call(np.where, (MASK, VECTOR, 0.0)),
    "where, whole numbers": Call(np.where, (MASK, WHOLE, -1)),
    "where, two numbers": Call(np.where, (MASK, 1.0, 0)),
    "where, a NumPy scalar": Call(np.where, (MASK, VECTOR, SCALAR)),
    "branch of scalars": Call(np.where, (SCALAR > 0.0, SCALAR, 1.0)),
    "branch of vectors": Call(np.where, (SCALAR > 0.0, VECTOR, -VECTOR)),
    "stack of scalars": Call(np.stack, ([VECTOR[3], VECTOR[1]],)),
    "stack of vectors": Call(np.stack, ([VECTOR, -VECTOR],), {"axis": -1}),
    "concat": Call(np.concat, ([TABLE, -TABLE],), {"axis": 0}),
    "times a number": Call(operator.mul, (2, VECTOR)),
    "whole times a number": Call(operator.mul, (WHOLE, 256)),
    "above a number": Call(operator.gt, (VECTOR, 0.5)),
    "ufunc with a number": Call(np.maximum, (VECTOR, 0.0)),
}
LEFT = {
    "power": Call(np.power, (VECTOR, 2.0)),
    "power operator": Call(operator.pow, (VECTOR, 2.0)),
    "whole numbers and a fraction": Call(operator.mul, (WHOLE, 0.5)),
    "two dtypes": Call(operator.mul, (WHOLE, VECTOR)),
    "scalars": Call(operator.mul, (SCALAR, 2.0)),
    "reduction of a scalar": Call(np.sum, (SCALAR,)),
}


def alike(one: Any, other: Any) -> bool:
    """Bits, shape, dtype; a scalar is as good as a 0-d array, and layouts count where there is more than one axis."""
    one, other = np.asarray(one), np.asarray(other)
    strides = one.strides == other.strides or one.ndim < 2
    kind = one.dtype == other.dtype and one.shape == other.shape
    return bool(kind and one.tobytes() == other.tobytes() and strides)


def made(call: Call) -> Any:
    return call.function(*call.args, **call.options)


@pytest.mark.parametrize("name", SHORT)
def test_a_shortcut_returns_the_bits_of_its_call_from_another_function_or_other_arguments(name: str) -> None:
    call = SHORT[name]
    short = shorter(call, call.args)
    assert short.function is not call.function or any(a is not b for a, b in zip(short.args, call.args, strict=True))
    assert alike(made(short), made(call))


@pytest.mark.parametrize("name", LEFT)
def test_a_call_without_a_shortcut_stays_itself(name: str) -> None:
    call = LEFT[name]
    short = shorter(call, call.args)
    assert short == call
    assert all(a is b for a, b in zip(short.args, call.args, strict=True))


def test_a_branch_that_broadcasts_is_no_branch() -> None:
    call = Call(np.where, (np.True_, VECTOR, 0.0))
    short = shorter(call, call.args)
    assert made(short).shape == VECTOR.shape
    assert made(short._replace(args=(np.False_, *short.args[1:]))).tolist() == [0.0] * len(VECTOR)


@pytest.mark.parametrize("condition", [np.True_, np.False_])
def test_a_branch_chosen_by_an_example_serves_the_other_condition_too(condition: np.bool_) -> None:
    call = Call(np.where, (np.True_, VECTOR, -VECTOR))
    short = shorter(call, call.args)
    args = (condition, *call.args[1:])
    assert alike(short.function(*args), np.where(*args))


def test_a_cast_to_the_same_dtype_is_not_made_unless_it_would_change_the_layout() -> None:
    assert shorter(SHORT["cast to what it is"], (VECTOR, np.float64)).function is itself
    assert shorter(Call(np.astype, (TABLE[:, ::2], np.float64)), (TABLE[:, ::2], np.float64)).function is not itself


def test_a_number_that_a_cast_can_not_hold_is_cast_as_numpy_casts_it() -> None:
    call = Call(np.astype, (np.float64(-0.7), np.int32))
    assert made(shorter(call, call.args)) == 0
    with np.errstate(invalid="ignore"):
        lost = Call(np.astype, (np.float64(np.nan), np.int32))
        assert made(shorter(lost, lost.args)) == made(lost)
