"""A program plays what was recorded: the same bits, less work, and no numbers looked at."""

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envs.arrays import Array, is_jax, namespace, normal_cdf, sigmoid
from policies.masses import integer_masses, pick
from policies.tape import record
from tests.hand import generator

K = 40
FEASIBLE = generator().random(K) < 0.7
TABLE = generator(1).normal(size=(K, K))
FUNCTIONS: dict[str, Callable[[Array], tuple[Array, ...]]] = {
    "operators": lambda x: (-x + 2.0 * x / (x * x + 1) - x // 1 + x % 2, abs(x), x**2, x @ TABLE @ x),
    "from the right": lambda x: (1.0 - x, 2 / (1.0 + x * x), 2.0 // (x * x + 1.0), 3.0**x, TABLE @ x, TABLE * x),
    "NumPy on the left": lambda x: (TABLE[0] - x, TABLE[0][3] * x, TABLE[0] > x, np.exp(x), FEASIBLE & (x > 0)),
    "logic": lambda x: (~(x > 0.0) | FEASIBLE, (x < 1.0) ^ (x != 0.5), (x == 0) & (x <= 1)),
    "views": lambda x: (x[None, :].T, x[3], x[::2], x[:, None] * x[None, :], x[:, None].mT),
    "sequences": lambda x: (np.stack([x[2], x[0]]), np.concat([x, TABLE[0]]), np.stack([x, TABLE[0]], axis=-1)),
    "reductions": lambda x: (np.max(x), np.sum(TABLE * x, axis=0), np.any(x > 1), np.mean(x[None, :], axis=0)),
    "special functions": lambda x: (normal_cdf(x), sigmoid(x)),
    "masses": lambda x: (integer_masses(FEASIBLE * np.exp(x) / np.sum(FEASIBLE * np.exp(x)), FEASIBLE),),
    "pick": lambda x: (pick(x, FEASIBLE, incumbent=np.int32(1), span=np.float64(1.0)),),
    "chosen rows": lambda x: (namespace(x).take(TABLE, np.astype(x > 0, np.int64), axis=0), np.take(x, [1, 2])),
    "argument itself": lambda x: (x, np.astype(x, np.float64)),
    "none of it": lambda _x: (TABLE, np.sum(TABLE)),
}


def vectors(n: int) -> list[Any]:
    """Half of them with ties, all with both signs and a zero of either sign."""
    rng = generator(2)
    mixed = [np.where(np.arange(K) < 2, [0.0, -0.0] * (K // 2), rng.normal(size=K)) for _ in range(n)]
    return [np.round(x) if i % 2 else x for i, x in enumerate(mixed)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_program_returns_the_bits_of_its_function(name: str) -> None:
    function = FUNCTIONS[name]
    program = record(function, np.zeros(K))
    for x in vectors(200):
        for got, need in zip(program(x), function(x), strict=True):
            assert np.shape(got) == np.shape(need) and got.dtype == need.dtype
            assert np.asarray(got).tobytes() == np.asarray(need).tobytes()


def spied(hits: list[float]) -> np.ufunc:
    """An identity that counts the numbers that go through it."""

    def passed(x: float) -> float:
        hits.append(x)
        return x

    return np.frompyfunc(passed, 1, 1)


def test_what_hangs_on_no_input_is_computed_while_recording_and_never_again() -> None:
    hits: list[float] = []
    spy = spied(hits)
    program = record(lambda x: (x + np.sum(spy(TABLE[0]).astype(float)),), np.zeros(K))
    assert len(hits) == K
    program(np.ones(K))
    assert len(hits) == K


def test_a_result_that_nobody_reads_is_not_computed_and_one_that_two_read_is_computed_once() -> None:
    hits: list[float] = []
    spy = spied(hits)
    unread = record(lambda x: (x + 1.0, spy(x))[:1], np.zeros(K))
    twice = record(lambda x: (spy(x), spy(x)), np.zeros(K))
    hits.clear()
    unread(np.ones(K))
    assert hits == []
    twice(np.ones(K))
    assert len(hits) == K


def test_what_is_read_for_the_last_time_gives_its_memory_to_what_comes_next() -> None:
    """A hundred steps over 100,000 numbers: three of them at most are alive at once."""
    n = 100_000

    def chain(x: Array) -> tuple[Array]:
        for i in range(100):
            x = x * 1.0001 + float(i)
        return (x,)

    program, start = record(chain, np.zeros(n)), np.ones(n)
    tracemalloc.start()
    program(start)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * 8 * n


def test_results_are_the_callers_own() -> None:
    program = record(lambda x: (x, TABLE, x + 1.0), np.zeros(K))
    x = np.ones(K)
    for first, again in zip(program(x), program(x), strict=True):
        assert not any(np.shares_memory(first, other) for other in (x, TABLE, again))


def test_a_program_holds_numbered_names_alone_and_can_reach_nothing_else() -> None:
    program: Any = record(lambda x: (np.exp(x) + TABLE[0] * 3.0,), np.zeros(K))
    code = program.__code__
    assert all(re.fullmatch(r"[cvx]\d+", name) for name in (*code.co_names, *code.co_varnames))
    assert set(code.co_consts) == {None}
    assert program.__globals__["__builtins__"] == {}


def test_what_is_recorded_passes_for_numpy() -> None:
    def same(x: Array) -> tuple[Array]:
        assert (x.shape, x.dtype, x.ndim, x.size, is_jax(x)) == ((2, 3), np.float64, 2, 6, False)
        return (x,)

    assert record(same, np.zeros((2, 3)))(np.ones((2, 3)))[0].shape == (2, 3)


LOOKS: dict[str, Callable[[Array], Any]] = {
    "a branch": lambda x: x if x[0] > 0.0 else -x,
    "a number": lambda x: float(x[0]),
    "a whole number": lambda x: TABLE[x[0]],
    "a loop": lambda x: sum(part for part in x),
    "another library": lambda x: np.asarray(x),
    "an index": lambda x: x[(x > 0.0, None)],
    "an option": lambda x: np.clip(x, min=x[0]),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_function_that_looks_at_numbers_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="that is being recorded"):
        record(lambda x: (LOOKS[name](x),), np.zeros(K))


def test_a_method_outside_the_array_api_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no 'cumsum', need what the Python Array API has"):
        record(lambda x: (x.cumsum(),), np.zeros(K))
