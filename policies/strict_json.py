"""JSON read and written strictly: one spelling per value, and every refusal names its place.

Refused on reading: duplicate keys, NaN and infinity, numbers too large for float64, broken
text, nesting past 32. Floats are written with the fewest digits that read back to the same bits.
"""

import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import NamedTuple, NoReturn

import numpy as np

from envs.targets import nearest
from policies.refusals import BundleError, FormatError

__all__ = ["Node", "canonical", "parse", "plain", "pretty"]

_encoded = json.JSONEncoder(allow_nan=False).encode  # made once: it costs more than a short text
_SHOWN = 60  # characters of a value that a message shows
_DEEPEST = 32  # lists and mappings within each other; a manifest has 7


def plain(value: object, where: str) -> object:
    """A value as JSON would give it back: dict, list, str, int, float, bool or None.

    Args:
        value: nested mappings, sequences and (NumPy) scalars.
        where: its place, for messages.

    Raises:
        ValueError: NaN or infinity.
        TypeError: a kind that JSON does not have, or a key that is not a string.

    >>> plain({"n": np.int64(3), "span": (0.5, None)}, "evidence")
    {'n': 3, 'span': [0.5, None]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}, need strings as keys")
        return {key: plain(child, f"{where}.{key}") for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child, f"{where}[{i}]") for i, child in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} = {value}, need a finite number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}, need a number, text, list or mapping")


def canonical(value: object) -> bytes:
    """The one spelling of a plain value: sorted keys, no spaces, ASCII.

    >>> canonical({"b": 0.1, "a": [1, True]})
    b'{"a":[1,true],"b":0.1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def pretty(value: object, *, width: int = 120, indent: str = "") -> str:
    """A plain value as JSON for readers: what fits on a line, and every list of numbers, stands on one.

    >>> print(pretty({"a": [1, 2], "b": {"c": 0.1}}, width=20))
    {
      "a": [1, 2],
      "b": {"c": 0.1}
    }
    """
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if not isinstance(value, dict | list) or (isinstance(value, list) and {int, float}.issuperset(map(type, value))):
        return _encoded(value)
    inner = indent + "  "
    if isinstance(value, dict):
        ends = "{}"
        parts = [f"{encode_basestring_ascii(k)}: {pretty(v, width=width, indent=inner)}" for k, v in value.items()]
    else:
        ends, parts = "[]", [pretty(child, width=width, indent=inner) for child in value]
    flat = f"{ends[0]}{', '.join(parts)}{ends[1]}"
    if len(indent) + len(flat) <= width and "\n" not in flat:
        return flat
    return f"{ends[0]}\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}{ends[1]}"


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:_SHOWN]} is not finite in float64")
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f"the number {text} is not finite")


def parse(raw: bytes, file: str, *, is_bulk: bool = False) -> "Node":
    """The root of a JSON file.

    Args:
        raw: its bytes.
        file: its name, for messages.
        is_bulk: a file of many numbers, four times faster: one too large for float64 is refused where it is read
            (`Node.number`) and not here.

    Raises:
        FormatError: not UTF-8, not JSON, a duplicate key, a number that is not finite, half a
            surrogate pair, or nesting past 32.
    """
    try:
        text = raw.decode("utf-8")
        read_float = float if is_bulk else _finite
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=read_float)
        if "\\u" in text and "\\ud" in text.lower():  # an escape may hold what UTF-8 can't
            json.dumps(value, ensure_ascii=False).encode()
        is_deep = _is_deep(value)
    except RecursionError:
        is_deep = True
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are of this kind
        raise FormatError(file, got=str(error), needed="strict JSON") from None
    if is_deep:
        raise FormatError(file, got="is nested too deep", needed=f"strict JSON, at most {_DEEPEST} levels")
    return Node(file, "", value)


def _is_deep(value: object) -> bool:
    """Whether a value holds more levels than anything that is written here; level by level, without recursion."""
    level = [value]
    for _ in range(_DEEPEST):
        inside = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        some = (children for children in inside if not {dict, list}.isdisjoint(map(type, children)))
        level = [child for children in some for child in children if isinstance(child, dict | list)]
    return bool(level)


class Node(NamedTuple):
    """A parsed value that knows its file and its dotted path, so that every refusal names both."""

    file: str
    path: str
    value: object

    def refuse(self, need: str, kind: type[BundleError] = FormatError) -> BundleError:
        """The error for this value: where, what was got, what was needed, on one line."""
        shown = repr(self.value)
        shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
        return kind(self.file, self.path or "its content", got=shown, needed=need)

    def _child(self, name: str, value: object) -> "Node":
        return Node(self.file, f"{self.path}.{name}" if self.path else name, value)

    def mapping(self) -> "dict[str, Node]":
        """The members of a mapping with any keys.

        Raises:
            FormatError: not a mapping.
        """
        if not isinstance(self.value, dict):
            raise self.refuse("a JSON object")
        return {name: self._child(name, child) for name, child in self.value.items()}

    def members(self, *names: str) -> "tuple[Node, ...]":
        """The members of a mapping with exactly these keys, in this order.

        Raises:
            FormatError: not a mapping, a missing key, or an unknown one (the nearest is named).
        """
        found = self.mapping()
        for name, child in found.items():
            if name not in names:
                got = f"has the unknown field {child.path!r}{nearest(name, names)}"
                raise FormatError(self.file, got=got, needed=f"{', '.join(names) or 'none'} alone")
        for name in names:
            if name not in found:
                raise FormatError(self.file, self._child(name, None).path, got="nothing", needed="a value")
        return tuple(found[name] for name in names)

    def items(self) -> "tuple[Node, ...]":
        """The items of a list.

        Raises:
            FormatError: not a list.
        """
        if not isinstance(self.value, list):
            raise self.refuse("a list")
        return tuple(Node(self.file, f"{self.path}[{i}]", child) for i, child in enumerate(self.value))

    def text(self) -> str:
        """A string.

        Raises:
            FormatError: anything else.
        """
        if not isinstance(self.value, str):
            raise self.refuse("text")
        return self.value

    def whole(self, *, lowest: int, highest: int) -> int:
        """A whole number within bounds.

        Raises:
            FormatError: anything else.
        """
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise self.refuse(f"a whole number in [{lowest}, {highest}]")
        return value

    def truth(self) -> bool:
        """True or false.

        Raises:
            FormatError: anything else.
        """
        if not isinstance(self.value, bool):
            raise self.refuse("true or false")
        return self.value

    def number(self) -> float:
        """A finite number, as float64.

        Raises:
            FormatError: anything else.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not _is_float64(self.value):
            raise self.refuse("a number that float64 holds")
        return float(self.value)


def _is_float64(number: int | float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number too large for it
        return False
