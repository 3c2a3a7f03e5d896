"""Columns of a file as NumPy arrays: numbers that may be missing, digests of texts, indicator columns.

Arrays pass through plain buffers, because pyarrow's own conversions load pandas where it is installed.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Digests = NDArray[np.uint64]
Bools = NDArray[np.bool_]

__all__ = [
    "Digests",
    "blank",
    "digests",
    "indicators",
    "is_text",
    "lists",
    "missing",
    "mixed",
    "numbers",
    "plain",
    "texts",
]

_GOLDEN, _FIRST, _SECOND = (np.uint64(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SHIFTS = tuple(np.uint64(v) for v in (30, 27, 31))
WORD = 8  # bytes that a digest takes in at a time


def plain(array: Any) -> Any:
    """One array of one chunk, dictionaries decoded."""
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_text(kind: Any) -> bool:
    """Whether an Arrow type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def missing(array: Any) -> Bools:
    """(n,) where an Arrow array holds nothing."""
    return np.from_dlpack(pc.is_null(array).cast(pa.uint8())).astype(np.bool_)


def blank(array: Any) -> Bools:
    """(n,) where a cell is missing or an empty text.

    >>> blank(pa.array(["a", "", " ", None])).tolist()
    [False, True, True, True]
    """
    array = plain(array)
    if not is_text(array.type):
        return missing(array)
    empty = pc.equal(pc.utf8_trim_whitespace(array), "").fill_null(True)
    return np.from_dlpack(empty.cast(pa.uint8())).astype(np.bool_)


def numbers(array: Any) -> Floats:
    """(n,) numbers of an Arrow array: NaN where a cell is empty or no number.

    >>> numbers(pa.array(["0.5", "", "one", None])).tolist()
    [0.5, nan, nan, nan]
    """
    array = plain(array)
    if is_text(array.type):
        try:
            array = pc.utf8_trim_whitespace(array).cast(pa.float64())
        except pa.ArrowInvalid:
            return np.array([_number(text) for text in array.to_pylist()], np.float64)
    elif pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    elif pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    filled = array.cast(pa.float64(), safe=False).fill_null(float("nan"))
    return np.from_dlpack(filled).astype(np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


def texts(array: Any) -> Any:
    """An Arrow array as texts: whole numbers without a point, so that 12 is "12" from every format."""
    array = plain(array)
    return array if is_text(array.type) else array.cast(pa.string())


def lists(array: Any) -> tuple[Floats, Bools]:
    """(n, k) numbers of a list column, short rows filled up with 0, and (n,) where a row holds no list.

    A text such as "[0.2, 0.8]" or "0.2 0.8" is read as a list too. A cell within a list that is no number is NaN.
    """
    array = plain(array)
    if is_text(array.type):
        inner = pc.utf8_trim(array, " []")
        array = pc.split_pattern_regex(inner, r"[,;\s]+")
    absent = missing(array)
    length = np.from_dlpack(pc.list_value_length(array).fill_null(0)).astype(np.int64)
    flat = numbers(array.flatten())
    table = np.zeros((len(array), int(length.max(initial=0))))
    table[np.arange(table.shape[1]) < length[:, None]] = flat
    return table, absent | (length == 0)


def digests(array: Any) -> Digests:
    """(n,) 64-bit digests of the texts of an Arrow array; equal texts have equal digests in every file.

    Among 10^8 distinct texts the chance that any two meet is about 3 in 10,000. Not for secrets.

    >>> digests(pa.array(["12"]))[0] == digests(pa.array([12]))[0]
    np.True_
    """
    array = texts(array).cast(pa.large_string()).fill_null("")
    _, ends, data = array.buffers()
    offset = np.frombuffer(ends, np.int64, len(array) + 1, array.offset * 8)
    raw = np.zeros(int(offset[-1]) + WORD, np.uint8)
    if data is not None:
        raw[: offset[-1]] = np.frombuffer(data, np.uint8, int(offset[-1]))
    words = np.ndarray((raw.size - WORD + 1,), "<u8", raw.data, strides=(1,))  # the eight bytes from every byte on
    length = np.diff(offset)
    held = mixed(length.astype(np.uint64) + _GOLDEN)
    for at in range(0, int(length.max(initial=0)), WORD):
        left = length - at
        live = np.flatnonzero(left > 0)
        word = words[offset[live] + at] & _mask(left[live])
        held[live] = mixed((held[live] ^ word) + _GOLDEN)
    return held


def _mask(left: Ints) -> Digests:
    """The lowest `left` bytes of a word, at most all of them."""
    spare = (WORD - np.minimum(left, WORD)).astype(np.uint64) * np.uint64(8)
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> spare


def mixed(held: Digests) -> Digests:
    """The finaliser of splitmix64: every bit of the input moves half the bits of the output."""
    held = (held ^ (held >> _SHIFTS[0])) * _FIRST
    held = (held ^ (held >> _SHIFTS[1])) * _SECOND
    return held ^ (held >> _SHIFTS[2])


def indicators(array: Any, n_buckets: int) -> Floats:
    """(n, buckets) a 1 in the bucket that a text's digest falls into; texts that share a bucket are one.

    >>> indicators(pa.array(["a", "b", "a"]), 4).sum(axis=1).tolist()
    [1.0, 1.0, 1.0]
    """
    bucket = (digests(array) % np.uint64(n_buckets)).astype(np.int64)
    table = np.zeros((bucket.size, n_buckets))
    table[np.arange(bucket.size), bucket] = 1.0
    return table
