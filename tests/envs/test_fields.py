"""One value of a config: types, ranges, choices, nesting, and the line that refuses it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pytest

from envs.fields import Spot, convert
from envs.targets import ConfigError


@dataclass(frozen=True)
class Inner:
    low: float = field(default=0.0, metadata={"ge": 0.0})
    high: float = 2.0

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} must be\nbelow high = {self.high}")


@dataclass(frozen=True)
class Outer:
    need_me: int
    inner: Inner = Inner(high=9.0)
    many: tuple[Inner, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)


def converted(value: object, kind: Any, rules: dict[str, Any] | None = None) -> Any:
    return convert(value, kind, Spot("p.x", MappingProxyType(rules or {}), ()))


def refusal(value: object, kind: Any, rules: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        converted(value, kind, rules)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (3, float, 3.0),
        ("3", int, 3),
        ("yes", bool, True),
        (0, bool, False),
        (0.7, str, "0.7"),
        ("a/b", Path, Path("a/b")),
        (None, float | None, None),
        (2, float | None, 2.0),
        (2, int | str, 2),
        ("2", int | str, "2"),
        ([1, 2], tuple[float, ...], (1.0, 2.0)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1], list[int], [1]),
        ([[1], [2, 3]], tuple[tuple[int, ...], ...], ((1,), (2, 3))),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        ("disjoint", Literal["disjoint", "shared"], "disjoint"),
        ({"a": [1, "b"]}, Any, {"a": (1, "b")}),
        ({"high": 3}, Inner, Inner(high=3.0)),
    ],
)
def test_a_value_takes_the_type_of_its_field(value: object, kind: Any, result: object) -> None:
    got = converted(value, kind)
    assert got == result
    assert type(got) is type(result)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("abc", int, "an int"),
        (2.5, int, "an int"),
        (True, int, "an int"),
        (True, float, "a number"),
        (3, bool, "true or false"),
        (None, float, "a number"),
        ("abc", float | None, "a number"),
        ([1], float, "a number"),
        ("abc", int | float, "an int or a number"),
        (1.0, tuple[float, ...], "a list, each a number, such as [1.0]"),
        ([1, 2, 3], tuple[int, int], "a list of 2"),
        ([1], dict[str, int], "a mapping"),
        (4, Inner, "a mapping with the keys of Inner"),
        ({"_target_": "experiments.settings.Run"}, Inner, "need Inner"),
        ({"_target_": "experiments.settings.Run"}, float, "a number"),
    ],
)
def test_a_wrong_type_is_refused_with_the_value_and_the_right_type(value: object, kind: Any, words: str) -> None:
    message = refusal(value, kind)
    assert message.startswith("p.x")
    assert words in message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", ".inf", "inf"])
def test_what_is_not_finite_never_passes(value: object) -> None:
    refusal(value, float)
    refusal(value, float | None)
    refusal([value], tuple[float, ...])
    refusal({"a": value}, dict[str, float])
    refusal({"low": value}, Inner)


def test_what_is_not_finite_never_passes_without_a_type_either() -> None:
    refusal({"a": [math.nan]}, Any)
    refusal(-math.inf, object)


@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        ({"ge": 0.0, "le": 1.0}, [0.0, 1.0], [-1e-12, 1.0 + 1e-12]),
        ({"gt": 0.0, "lt": 1.0}, [1e-12, 1.0 - 1e-12], [0.0, 1.0]),
    ],
)
def test_bounds_hold_at_their_ends(rules: dict[str, Any], good: list[float], bad: list[float]) -> None:
    assert converted(good, tuple[float, ...], rules) == tuple(good)
    for value in bad:
        message = refusal([0.5, value], tuple[float, ...], rules)
        assert message.startswith(f"p.x[1]: got {value!r}, need a number >")


def test_a_refusal_names_unit_choices_and_the_nearest_choice() -> None:
    message = refusal(1.5, float, {"le": 1.0, "unit": "share"})
    assert message == "p.x: got 1.5, need a number <= 1.0 (share)"
    message = refusal("sharde", str, {"choices": ("disjoint", "shared")})
    assert message == "p.x: got 'sharde', need one of disjoint, shared; did you mean 'shared'?"
    assert "did you mean 'shared'" in refusal("sharde", Literal["disjoint", "shared"])


def test_keys_unknown_and_missing_are_refused_by_their_dotted_path() -> None:
    message = refusal({"need_me": 1, "iner": {}}, Outer)
    assert message.startswith("p.x.iner: got {}, need one of the keys need_me, inner, many, shares")
    assert message.endswith("did you mean 'inner'?")
    assert refusal({}, Outer) == "p.x.need_me: missing, need an int (add p.x.need_me=VALUE)"
    assert "missing" in refusal({"need_me": "???"}, Outer)
    assert refusal({"low": "???"}, Inner).startswith("p.x.low: missing, need a number >= 0.0")
    assert refusal({"need_me": 1, "many": [{}, {"low": -1}]}, Outer).startswith("p.x.many[1].low")
    assert refusal({"need_me": 1, "shares": {"bug": "x"}}, Outer).startswith("p.x.shares.bug")


def test_a_partial_mapping_keeps_the_rest_of_the_default() -> None:
    assert converted({"need_me": 1, "inner": {"low": 8}}, Outer).inner == Inner(8.0, 9.0)


def test_a_dataclass_refusing_itself_is_one_line_with_the_path() -> None:
    message = refusal({"low": 5}, Inner)
    assert message == "p.x: low = 5.0 must be below high = 2.0"


def test_an_annotation_no_config_can_fill_is_the_authors_mistake() -> None:
    with pytest.raises(TypeError, match="no config value can be"):
        converted(1, complex)
