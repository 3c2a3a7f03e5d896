"""JSON in one spelling: what is read is what was written, and everything else is refused by place."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.refusals import FormatError, GoldenError
from policies.strict_json import Node, canonical, parse, plain, pretty

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=8), FLOATS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(VALUES)
def test_the_canonical_spelling_reads_back_to_the_same_bits(value: object) -> None:
    back = parse(canonical(value), "file").value
    assert canonical(back) == canonical(value)
    assert repr(back) == repr(json.loads(json.dumps(value, sort_keys=True)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(FLOATS)
def test_floats_survive_bit_for_bit(number: float) -> None:
    back = parse(canonical([number]), "file").items()[0].number()
    assert back == number
    assert math.copysign(1, back) == math.copysign(1, number)


def test_plain_keeps_numpy_scalars_and_refuses_what_json_does_not_have() -> None:
    value = {"a": np.float64(0.1), "b": (np.int32(2), np.bool_(True)), "c": None}
    assert plain(value, "evidence") == {"a": 0.1, "b": [2, True], "c": None}
    with pytest.raises(ValueError, match=r"evidence.a\[1\] = nan, need a finite number"):
        plain({"a": [1.0, np.nan]}, "evidence")
    with pytest.raises(TypeError, match=r"evidence.a is a ndarray, need a number"):
        plain({"a": np.zeros(2)}, "evidence")
    with pytest.raises(TypeError, match="evidence has the key 3, need strings"):
        plain({3: 1}, "evidence")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
        (b'{"a": NaN}', "the number NaN is not finite"),
        (b'{"a": -Infinity}', "the number -Infinity is not finite"),
        (b'{"a": 1e999}', "the number 1e999 is not finite in float64"),
        (b'{"a": 1', "need strict JSON"),
        (b"", "need strict JSON"),
        (b'"\xff"', "can't decode byte 0xff"),
        (b"[" * 200_000, "nested too deep"),
        (b"[" * 33 + b"]" * 33, "nested too deep, need strict JSON, at most 32 levels"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested too deep"),
        (rb'{"a": ["\ud800"]}', "surrogates not allowed"),
        (rb'{"\uDFFF": 1}', "surrogates not allowed"),
        (b"1" * 5000, "need strict JSON"),
    ],
    ids=[
        "duplicate",
        "nan",
        "infinity",
        "overflow",
        "cut",
        "empty",
        "not utf-8",
        "deep",
        "33 lists",
        "33 objects",
        "half a pair",
        "half a pair as key",
        "huge integer",
    ],
)
def test_what_is_not_strict_is_refused_on_one_line(raw: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words) as caught:
        parse(raw, "policy.json")
    assert str(caught.value).startswith("policy.json: ")
    assert "\n" not in str(caught.value)


def test_every_refusal_names_file_field_and_need() -> None:
    root = parse(b'{"axes": [{"name": 3, "size": true, "x": "1"}]}', "m.json")
    (axes,) = root.members("axes")
    name, size, x = axes.items()[0].members("name", "size", "x")
    cases = [
        (name.text, r"m.json: axes\[0\].name = 3, need text"),
        (lambda: size.whole(lowest=0, highest=9), r"axes\[0\].size = True, need a whole number in \[0, 9\]"),
        (x.number, r"axes\[0\].x = '1', need a number"),
        (x.items, r"axes\[0\].x = '1', need a list"),
        (x.mapping, r"axes\[0\].x = '1', need a JSON object"),
        (lambda: root.members("axis"), r"m.json: has the unknown field 'axes'; did you mean 'axis'\?, need axis alone"),
        (lambda: root.members("axes", "span"), r"m.json: span = nothing, need a value"),
        (name.truth, r"axes\[0\].name = 3, need true or false"),
        (size.number, r"axes\[0\].size = True, need a number"),
    ]
    for ask, words in cases:
        with pytest.raises(FormatError, match=words):
            ask()


def test_long_values_are_cut_in_messages() -> None:
    assert len(str(Node("f", "p", "x" * 500).refuse("less"))) < 100


def test_what_just_fits_is_read() -> None:
    assert parse(b"[" * 32 + b"]" * 32, "f").path == ""
    assert parse(rb'["\ud83d\ude00", "\\ud800"]', "f").value == ["\U0001f600", r"\ud800"]


def test_a_refusal_carries_its_place_and_the_type_that_is_asked_for() -> None:
    (axes,) = parse(b'{"axes": [7]}', "m.json").members("axes")
    error = axes.items()[0].refuse("8", GoldenError)
    assert type(error) is GoldenError
    assert (error.file, error.field, error.got, error.needed) == ("m.json", "axes[0]", "7", "8")


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_a_whole_number_past_float64_is_no_number(number: int) -> None:
    with pytest.raises(FormatError, match="need a number that float64"):
        parse(str(number).encode(), "f").number()


@pytest.mark.parametrize("text", [b"1e999", b"-1e999"])
def test_bulk_reading_refuses_endless_numbers_where_they_are_read(text: bytes) -> None:
    """A file of many numbers is parsed without a check of each; whoever reads a number finds it."""
    with pytest.raises(FormatError, match="need a number that float64"):
        parse(text, "f", is_bulk=True).number()
    with pytest.raises(FormatError, match="the number NaN is not finite"):
        parse(b"NaN", "f", is_bulk=True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(VALUES, st.integers(10, 120))
def test_the_spelling_for_readers_says_the_same(value: object, width: int) -> None:
    assert canonical(parse(pretty(value, width=width).encode(), "f").value) == canonical(value)


def test_lists_of_numbers_stand_on_one_line_and_the_rest_within_the_width() -> None:
    made = pretty({"numbers": list(range(100)), "words": ["x" * 9] * 30}, width=60).splitlines()
    assert made[1] == '  "numbers": ' + str(list(range(100))) + ","
    assert max(len(line) for line in made[2:]) <= 60
