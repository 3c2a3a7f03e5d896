"""Nodes become dataclasses: targets first, one-line refusals, numbers that can be listed."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from envs.targets import function_of
from experiments.settings import (
    ConfigError,
    Job,
    Run,
    build,
    described,
    numeric_leaves,
    resolve_all,
)

HERE = "settings_plugins"  # this module, under an importable name
MADE: list[str] = []
__all__ = ["Kind", "Part", "Whole", "run"]


@dataclass(frozen=True)
class Part:
    rate: float = field(default=0.5, metadata={"ge": 0.0, "le": 1.0})

    def __post_init__(self) -> None:
        MADE.append("Part")


@dataclass(frozen=True)
class Whole:
    part: object = None
    slots: int = field(default=3, metadata={"static": True})
    flag: bool = True
    plain: Part = Part(0.25)
    parts: tuple[Part, ...] = ()
    named: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    name: str = "kind"


def run(job: Job) -> str:
    return f"ran {job.out}"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, HERE, module)
    monkeypatch.setattr(module, "__name__", HERE)
    for kind in (Part, Whole, Kind):
        monkeypatch.setattr(kind, "__module__", HERE)
    MADE.clear()


def node(name: str, **values: Any) -> dict[str, Any]:
    return {"_target_": f"{HERE}.{name}", **values}


def made(name: str, **values: Any) -> Any:
    return build(OmegaConf.create(node(name, **values)), "policy", allow=[HERE])


def test_a_node_becomes_its_dataclass_with_nested_targets_at_any_depth() -> None:
    inner = node("Part", rate=1)
    whole = made("Whole", part=inner, slots=4, parts=[{"rate": 0.1}], named={"a": inner})
    assert whole == Whole(Part(1.0), 4, parts=(Part(0.1),), named={"a": Part(1.0)})


def test_described_is_what_builds_an_equal_object_again() -> None:
    whole = made("Whole", part=node("Kind"), parts=[{"rate": 0.1}], named={"a": node("Part")})
    plain = described(whole)
    assert OmegaConf.create(plain) == plain
    assert build(plain, "again", allow=[HERE]) == whole


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"part": {"_target_": "os.system"}}, "policy.part._target_"),
        ({"part": node("Part", rate=2)}, "policy.part.rate"),
        ({"named": {"a": [node("Part"), node("Part", rat=2)]}}, "policy.named.a[1].rat"),
        ({"plain": {"rate": "x"}}, "policy.plain.rate"),
        ({"slots": 0.5}, "policy.slots"),
        ({"_recursive_": False}, "policy._recursive_"),
    ],
)
def test_a_fault_is_named_by_its_dotted_path(values: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made("Whole", **values)
    assert str(caught.value).startswith(f"{path}: ")


def test_every_target_is_resolved_before_anything_is_made() -> None:
    cfg = {"a": node("Part"), "b": node("Whole", named={"x": [{"_target_": "os.system"}]})}
    with pytest.raises(ConfigError, match=r"^b\.named\.x\[0\]\._target_: got 'os.system'"):
        resolve_all(cfg, allow=[HERE])
    assert MADE == []


def test_groups_are_one_object_or_a_dict_of_them_or_nothing() -> None:
    cfg = OmegaConf.create(
        {
            "horizon": 5,
            "policy": node("Part", rate="${rate}"),
            "estimator": {"a": node("Kind"), "b": node("Part")},
            "drift": {},
            "rate": 0.75,
        }
    )
    groups = resolve_all(cfg, allow=[HERE])
    assert groups == {
        "policy": Part(0.75),
        "estimator": {"a": Kind(), "b": Part()},
        "drift": None,
    }


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"drift": {"at": 3}}, "drift.at: got 3, need nothing"),
        ({"policy": node("Part", rate="${rte}")}, "config: "),
        ({"policy": {"_target_": None}}, "policy._target_: got None"),
    ],
)
def test_a_group_that_cannot_be_read_is_refused_on_one_line(cfg: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_all(OmegaConf.create(cfg), allow=[HERE])
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_build_refuses_a_node_without_a_target() -> None:
    with pytest.raises(ConfigError, match="^x: got {'a': 1}, need a node with a _target_"):
        build({"a": 1}, "x")
    with pytest.raises(ConfigError, match="need a mapping"):
        build([1], "x")  # type: ignore[arg-type]  # the wrong kind on purpose


def test_numeric_leaves_are_every_number_but_no_flag_with_the_rules_of_its_field() -> None:
    whole = Whole(part=Part(0.1), parts=(Part(0.2),), named={"a": Part(0.3), "b": 7})
    leaves = {leaf.path: leaf for leaf in numeric_leaves(whole, "w")}
    assert {path: leaf.value for path, leaf in leaves.items()} == {
        "w.part.rate": 0.1,
        "w.slots": 3,
        "w.plain.rate": 0.25,
        "w.parts[0].rate": 0.2,
        "w.named.a.rate": 0.3,
        "w.named.b": 7,
    }
    assert leaves["w.slots"].rules == {"static": True}
    assert leaves["w.parts[0].rate"].rules["le"] == 1.0


def test_a_plug_ins_function_is_found_only_if_its_module_lists_it() -> None:
    assert function_of(Part(), "run") is run
    with pytest.raises(ConfigError, match="lists the function 'runn'; did you mean 'run'"):
        function_of(Part(), "runn")
    with pytest.raises(ConfigError, match="'node'"):
        function_of(Part(), "node")


def test_a_job_hands_out_a_group_only_as_the_kind_that_is_asked_for() -> None:
    job = Job(Run(), Path("x"), {"policy": Part(0.1)}, {"policy": "thompson"}, {})
    assert job.pick("policy", Part) == Part(0.1)
    with pytest.raises(ConfigError, match="^policy: got 'thompson', need a choice that makes .*Whole"):
        job.pick("policy", Whole)
    with pytest.raises(ConfigError, match="^world: got None"):
        job.pick("world", Part)
