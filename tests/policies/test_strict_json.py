"""JSON in one spelling: what is read is what was written, and everything else is refused by place."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.strict_json import BundleError, Node, canonical, parse, plain

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
        (b"1" * 5000, "need strict JSON"),
    ],
    ids=["duplicate", "nan", "infinity", "overflow", "cut", "empty", "not utf-8", "deep", "huge integer"],
)
def test_what_is_not_strict_is_refused_on_one_line(raw: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=words) as caught:
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
        (lambda: root.members("axis"), r"m.json: unknown field 'axes'; did you mean 'axis'\?"),
        (lambda: root.members("axes", "span"), r"m.json: field 'span' is missing"),
    ]
    for ask, words in cases:
        with pytest.raises(BundleError, match=words):
            ask()


def test_long_values_are_cut_in_messages() -> None:
    assert len(str(Node("f", "p", "x" * 500).refuse("less"))) < 100
