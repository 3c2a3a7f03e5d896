"""A NumPy computation written down once and played back: fast, and equal bit for bit.

The function runs once with stand-ins for its inputs. What does not depend on them is computed
there and then; what does is noted, and played back for every new input: the NumPy operations that
the function asked for (or their `policies.shortcuts`), less those whose result nobody reads or that
were noted before. Price: the shapes and dtypes of the inputs are fixed, and a function that looks at
an input's numbers (`if x > 0`, `float(x)`) is refused while it is recorded, as JAX and ONNX refuse it.
Source: Griewank & Walther (2008), "Evaluating Derivatives", section 4.1, for the tape.
"""

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from envs.arrays import Array
from policies.shortcuts import Call, itself, shorter

__all__ = ["Program", "record"]

Program = Callable[..., tuple[Any, ...]]  # of as many arrays as were recorded; threads may share it
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_OTHERS = ("lt", "le", "eq", "ne", "gt", "ge", "getitem", "neg", "pos", "abs", "invert")


class _Taped:
    """Stands in for an array that is not known yet: an example of it, and the call that makes it."""

    __slots__ = ("call", "value")

    def __init__(self, value: Any, call: Call | None = None) -> None:
        self.value, self.call = value, call

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return _NUMPY

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any) -> Any:
        return _noted(Call(ufunc if method == "__call__" else getattr(ufunc, method), args))

    def __array_function__(self, function: Any, _types: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if function in (np.zeros_like, np.ones_like):
            return function(_example(args[0]), **options)
        return _noted(Call(function, args, options))

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "ndim", "size"):
            return getattr(self.value, name)
        if name in ("T", "mT"):
            return _noted(Call(operator.attrgetter(name), (self,)))
        raise AttributeError(f"an array that is being recorded has no {name!r}, need what the Python Array API has")

    def _unknown(self, *_kind: Any, copy: bool | None = None) -> Any:
        raise TypeError("a branch on, or a number of, an array that is being recorded; need xp.where and its kin")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __iter__ = _unknown


class _Numpy:
    """NumPy for stand-ins: its own `take` does not ask the indices whether they are any."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def take(self, x: Array, indices: Array, *, axis: int | None = None) -> Any:
        if isinstance(x, _Taped) or isinstance(indices, _Taped):
            return _noted(Call(np.take, (x, indices), {"axis": axis}))
        return np.take(x, indices, axis=axis)


_NUMPY = _Numpy()


def _method(name: str, *, is_right: bool = False) -> Callable[..., Any]:
    """A method that notes an operator; `is_right` where the stand-in is its right side."""
    function = getattr(operator, f"__{name}__")
    return lambda *args: _noted(Call(function, args[::-1] if is_right else args))


for _name in (*_BINARY, *_OTHERS):
    setattr(_Taped, f"__{_name}__", _method(_name))
for _name in _BINARY:
    setattr(_Taped, f"__r{_name}__", _method(_name, is_right=True))


def _example(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(map(_example, x))
    return x.value if isinstance(x, _Taped) else x


def _noted(call: Call) -> _Taped:
    """The stand-in for what a call returns, with the note of it."""
    function, args, options = short = shorter(call, _example(call.args))
    if function is itself:
        stand_in: _Taped = args[0]
        return stand_in
    loose = (*options.values(), *(part for x in args if isinstance(x, list | tuple) for part in x))
    if any(isinstance(x, _Taped) for x in loose):
        raise TypeError(f"{function} of an array that is being recorded, as an option or in an index; need xp.take")
    return _Taped(function(*_example(args), **options), short)


def _needed(results: tuple[Any, ...]) -> Iterator[tuple[_Taped, Call]]:
    """The notes behind the results, each once and after those it is made of."""
    done: set[int] = set()
    waiting = [(x, False) for x in results]
    while waiting:
        note, is_after = waiting.pop()
        if not isinstance(note, _Taped) or note.call is None or id(note) in done:
            continue
        if is_after:
            done.add(id(note))
            yield note, note.call
        else:
            waiting += [(note, True), *((x, False) for x in note.call.args)]


def _name_of(x: Any) -> Any:
    """What tells one value from another: equal names, equal bits."""
    return id(x) if isinstance(x, np.ndarray | _Taped) else (type(x), repr(x))


class _Script:
    """A program as it is written. Its text is made of numbered names alone: no data can get into it."""

    def __init__(self, inputs: tuple[_Taped, ...]) -> None:
        self.names = {_name_of(x): f"x{i}" for i, x in enumerate(inputs)}
        self.held: dict[str, Any] = {}  # what the names of constants and functions stand for
        self.made: dict[Any, str] = {}  # a step's function and arguments, and the name of its result

    def name(self, x: Any) -> str:
        """The name of an input, a result, or else a constant."""
        key = _name_of(x)
        if key not in self.names:
            self.names[key] = f"c{len(self.held)}"
            self.held[self.names[key]] = x
        return self.names[key]

    def write(self, note: _Taped, call: Call) -> None:
        """One more step, unless it was made before."""
        function = partial(call.function, **call.options) if call.options else call.function
        step = self.name(function), *map(self.name, call.args)
        self.names[id(note)] = self.made.setdefault(step, f"v{len(self.made)}")

    def text(self, results: tuple[str, ...]) -> str:
        """Source code; what is read for the last time gives its variable, and thus its memory, to what comes next."""
        last = {name: i for i, step in enumerate(self.made) for name in step} | dict.fromkeys(results, len(self.made))
        lines, variable, free = list[str](), dict[str, str](), list[str]()
        for i, (step, name) in enumerate(self.made.items()):
            function, *args = (variable.get(word, word) for word in step)
            free += [variable.pop(word) for word in dict.fromkeys(step) if word in variable and last[word] == i]
            variable[name] = free.pop() if free else name
            lines.append(f"    {variable[name]} = {function}({', '.join(args)})\n")
        inputs = ", ".join(name for name in self.names.values() if name.startswith("x"))
        ends = ", ".join(variable[name] for name in results)
        return f"def program({inputs}):\n{''.join(lines)}    return ({ends},)\n"


def record(function: Callable[..., tuple[Array, ...]], *examples: Array) -> Program:
    """The program of a function of arrays, pure and written against the Python Array API.

    Args:
        function: its results are a tuple of arrays.
        examples: one input each, of the shape and dtype of those to come.

    Raises:
        TypeError: a function that looks at the numbers of its inputs.
        AttributeError: a function that asks an array for what the Array API has not.

    >>> twice = record(lambda x: (x + x,), np.zeros(2))
    >>> twice(np.array([1.0, 2.0]))
    (array([2., 4.]),)
    """
    inputs = tuple(_Taped(example) for example in examples)
    ends = function(*inputs)
    is_made = [isinstance(x, _Taped) and x.call is not None for x in ends]
    results = tuple(x if ok else _Taped(_example(x), Call(np.array, (x,))) for x, ok in zip(ends, is_made, strict=True))
    script = _Script(inputs)
    for note, call in _needed(results):
        script.write(note, call)
    text, made = script.text(tuple(map(script.name, results))), {**script.held, "__builtins__": {}}
    exec(text, made)  # as dataclasses are made; a loop over the steps takes a fifth longer
    program: Program = made["program"]
    return program
