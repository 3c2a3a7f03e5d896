"""Random damage: it reaches deep, it is the same in every run, and its claims can fail."""

from collections import Counter
from typing import Any

import pytest

from experiments.bundling import fuzzing
from experiments.bundling.fuzzing import Fuzzed, claims, damaged, fuzz, measurements, set_value


@pytest.mark.parametrize(
    "kind, given, wanted",
    [("flip", b"\x01", b"abbd"), ("insert", b"--", b"ab--cd"), ("drop", b"", b"abd"), ("cut", b"", b"ab"),
     ("double", b"", b"abccd"), ("move", b"", b"cdab")],
)  # fmt: skip
def test_an_edit_of_bytes_does_what_it_is_called(kind, given, wanted):
    assert damaged(b"abcd", [(kind, 0.5, given)]) == wanted
    damaged(b"", [(kind, 0.5, given)])


@pytest.mark.parametrize(
    "way, kind, wanted",
    [([0.0, 0.9], "set", {"a": [1, "new"], "b": 3}), ([0.9], "drop", {"a": [1, 2]}),
     ([0.0, 0.0], "double", {"a": [1, 2, 1], "b": 3}), ([0.0, 0.0, 0.0], "add", {"a": [1, 2, "new"], "b": 3}),
     ([0.6], "add", {"a": [1, 2], "b": 3, "b+": "new"})],
)  # fmt: skip
def test_a_value_is_put_where_the_way_leads(way, kind, wanted):
    document = {"a": [1, 2], "b": 3}
    set_value(document, way, kind, "new")
    assert document == wanted


def test_a_value_put_twice_is_never_put_into_itself():
    value: dict[str, Any] = {"x": {}}
    document: dict[str, Any] = {"a": [1]}
    for way in ([0.0, 0.0], [0.0, 0.0, 0.0]):
        set_value(document, way, "set", value)
    assert document == {"a": [{"x": {"x": {}}}]} and value == {"x": {}}


@pytest.mark.slow
def test_damage_is_found_the_same_way_twice_and_gets_past_the_digests(specimen):
    first, again = (fuzz(specimen, examples=60, advance=lambda _: None) for _ in range(2))
    assert first == again
    assert first.folders == 60 and first.past["other values"] > 10
    assert not first.undeclared and not first.let_in
    judged, let_in = claims(first)
    assert (judged.holds, let_in.holds) == (None, True)  # 60 folders are not 10,000
    rows = {(row.rule, row.measure): row.value for row in measurements(first, "speed") if not row.task}
    assert rows["random files", "examples"] == 6


def _found(**undeclared: int) -> Fuzzed:
    tried = Counter({"random files": 1000, "damaged bytes": 3000, "other values": 6000, "parser": 10})
    return Fuzzed(tried=tried, errors=Counter({("parser", "FormatError"): 10_010}), undeclared=Counter(undeclared))


def test_ten_thousand_folders_without_a_strange_error_hold_and_one_error_fails():
    assert claims(_found())[0].holds is True
    failed = claims(_found(KeyError=1))[0]
    assert failed.holds is False and "KeyError" in failed.measured
    assert claims(_found())[1].holds is True
    found = _found()
    found.let_in["damaged bytes"] += 1
    assert claims(found)[1].holds is False


def test_an_undeclared_error_is_counted(specimen, monkeypatch):
    monkeypatch.setattr(fuzzing, "refusal", lambda *_: ("undeclared KeyError", ()))
    found = fuzz(specimen, examples=20, advance=lambda _: None)
    assert sum(found.undeclared.values()) == 20
