"""Columns as arrays: what is missing is NaN, and equal texts have equal digests wherever they stand."""

import numpy as np
import pyarrow as pa
import pytest

from evaluators.reading.arrays import digests, indicators, lists, numbers


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, None, -2.0]),
        pa.array(["1.5", "", "-2"]),
        pa.array([" 1.5", "n/a", "-2e0 "]),
        pa.chunked_array([["1.5"], [None, "-2"]]),
        pa.array(["1.5", None, "-2"]).dictionary_encode(),
    ],
)
def test_numbers_are_read_from_every_kind_and_what_is_none_is_nan(array: object) -> None:
    assert np.array_equal(numbers(array), [1.5, np.nan, -2.0], equal_nan=True)


def test_booleans_integers_and_nothing_are_numbers_too() -> None:
    assert numbers(pa.array([True, False, None])).tolist()[:2] == [1.0, 0.0]
    assert numbers(pa.array([1, 2], pa.int64())).tolist() == [1.0, 2.0]
    assert np.isnan(numbers(pa.nulls(2))).all()


def test_a_list_column_and_its_text_give_one_table() -> None:
    table, absent = lists(pa.array([[0.2, 0.8], [1.0], None, []]))
    assert table.tolist() == [[0.2, 0.8], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert absent.tolist() == [False, False, True, True]
    for text in ("[0.2, 0.8]", "0.2 0.8", "0.2;0.8"):
        assert lists(pa.array([text]))[0].tolist() == [[0.2, 0.8]]


def test_a_cell_of_a_list_that_is_no_number_is_nan() -> None:
    table, _ = lists(pa.array(["[0.2, x]"]))
    assert table[0, 0] == 0.2
    assert np.isnan(table[0, 1])


def test_digests_of_a_hundred_thousand_ids_differ() -> None:
    """2^-64 x n^2 / 2 = 3e-10 chance of a false alarm."""
    ids = [f"{'x' * (i % 23)}-{i}" for i in range(100_000)]
    assert np.unique(digests(pa.array(ids))).size == len(ids)


def test_a_digest_knows_every_byte_and_the_length() -> None:
    words = ["", "a", "b", "a\x00", "12345678", "123456789", "12345678\x00", "é", "12345679", "x" * 40, "x" * 41]
    assert np.unique(digests(pa.array(words))).size == len(words)


def test_equal_texts_meet_whatever_the_kind_the_slice_or_the_neighbours() -> None:
    whole = digests(pa.array(["12", "abcdefghij", "7", "end"]))
    assert np.array_equal(digests(pa.array([12, 7])), whole[[0, 2]])
    assert np.array_equal(digests(pa.array(["12", "abcdefghij", "7", "end"]).slice(1, 2)), whole[1:3])
    assert np.array_equal(digests(pa.array(["7", "abcdefghij"], pa.large_string())), whole[[2, 1]])
    assert digests(pa.array([], pa.string())).size == 0


def test_indicators_are_one_hot_and_follow_the_text() -> None:
    table = indicators(pa.array(["a", "b", "a"]), 64)
    assert table.shape == (3, 64)
    assert np.array_equal(table[0], table[2])
    assert table.sum() == 3
