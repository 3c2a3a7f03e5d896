"""Every yaml of every config group builds, and what it builds says what its numbers may be."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from envs import presets
from envs.targets import ConfigError, resolve_target
from experiments.compose import check, compose, open_book, read
from experiments.settings import Run, build, described, numeric_leaves

CHOICES = sorted((file.parent.name, file.stem) for file in presets.CONFIGS.glob("*/*.yaml"))
NEEDS = {
    ("world", name): ("path", "outcomes.csv") for name in ("replay", "replay_log", "temperature_study")
}  # what a reader must give on the command line
RECIPES = [name for group, name in CHOICES if group == "experiment"]
PLAIN = [pair for pair in CHOICES if pair[0] != "experiment"]

every_choice = pytest.mark.parametrize(("group", "name"), CHOICES, ids=["/".join(pair) for pair in CHOICES])
every_plain = pytest.mark.parametrize(("group", "name"), PLAIN, ids=["/".join(pair) for pair in PLAIN])


@cache
def node_of(group: str, name: str) -> DictConfig:
    """The yaml as it stands, with what the command line must give."""
    node = OmegaConf.load(presets.CONFIGS / group / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    if (group, name) in NEEDS:
        key, value = NEEDS[group, name]
        node[key] = value
    return node


@cache
def targets(group: str, name: str) -> tuple[str, ...]:
    """Every `_target_` of a yaml, nested ones too."""
    return tuple(_targets(OmegaConf.to_container(node_of(group, name))))


def _targets(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield str(value["_target_"])
        for child in value.values():
            yield from _targets(child)
    elif isinstance(value, list):
        for child in value:
            yield from _targets(child)


def _parts(hint: Any) -> Iterator[Any]:
    """The plain types inside a type: of `list[int] | None`, int."""
    if get_origin(hint) in (Union, UnionType, list, tuple, dict):
        for part in get_args(hint):
            yield from _parts(part)
    elif hint not in (NoneType, Ellipsis):
        yield hint


def numbers(kind: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every numeric field of a dataclass, nested dataclasses too, with its metadata."""
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        for part in _parts(hints[item.name]):
            if part in (int, float):
                yield f"{path}.{item.name}", item.metadata
            elif dataclasses.is_dataclass(part):
                yield from numbers(part, f"{path}.{item.name}")


def unbounded(kind: type) -> list[str]:
    """Numeric fields that some infinite or absurd number would pass."""
    wrong = []
    for path, rules in numbers(kind, f"{kind.__module__}.{kind.__name__}"):
        if "choices" not in rules and not ({"ge", "gt"} & rules.keys() and {"le", "lt"} & rules.keys()):
            wrong.append(f"{path} has {sorted(rules)}, needs a lower and an upper end")
    return wrong


def test_every_group_has_a_choice() -> None:
    groups = {group for group, _ in CHOICES}
    assert groups == {file.name for file in presets.CONFIGS.iterdir() if file.is_dir() and file.name[0] not in "_."}
    assert len(groups) >= 9


@every_plain
def test_a_choice_builds_from_the_yaml_and_again_from_its_plain_values(group: str, name: str) -> None:
    built = build(node_of(group, name), group)
    assert dataclasses.is_dataclass(built)
    assert build(described(built), group) == built


@every_plain
def test_a_choice_by_name_is_what_the_yaml_builds(group: str, name: str) -> None:
    if (group, name) in NEEDS:
        with pytest.raises(ConfigError, match=NEEDS[group, name][0]):
            presets.load(group, name)
    else:
        assert presets.load(group, name) == build(node_of(group, name), group)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_composes_and_builds_every_group(name: str) -> None:
    request = read((f"experiment={name}",))
    with open_book(request.search) as book:
        cfg = compose(book, (f"experiment={name}",))
        job = check(cfg, cfg.hydra.runtime.choices, groups=tuple(book.groups))
    assert job.choices["experiment"] == name
    assert job.run == Run()
    assert set(job.groups) == {group for group, _ in CHOICES}
    assert all(made is not None for made in job.groups.values())
    assert not HydraConfig.initialized()


@every_choice
def test_every_target_is_in_the_all_of_its_module(group: str, name: str) -> None:
    assert targets(group, name)
    for target in targets(group, name):
        kind = resolve_target(target, group)
        assert kind.__name__ in sys.modules[kind.__module__].__all__


@every_choice
def test_every_number_of_a_choice_has_a_lowest_and_a_highest_value(group: str, name: str) -> None:
    wrong = [line for target in targets(group, name) for line in unbounded(resolve_target(target, group))]
    assert wrong == []


def test_the_top_numbers_have_a_lowest_and_a_highest_value() -> None:
    assert unbounded(Run) == []


@every_plain
def test_a_number_below_its_range_is_refused_by_its_path(group: str, name: str) -> None:
    built = build(node_of(group, name), group)
    for leaf in numeric_leaves(built):
        if "." in leaf.path or "[" in leaf.path or not {"ge", "gt"} & leaf.rules.keys():
            continue
        low = leaf.rules.get("ge", leaf.rules.get("gt"))
        plain = described(built) | {leaf.path: type(leaf.value)(low - 1)}
        with pytest.raises(ConfigError, match=rf"{group}\.{leaf.path}: got "):
            build(plain, group)


def test_a_field_without_a_range_is_found() -> None:
    loose = dataclasses.make_dataclass("loose", [("n", list[int] | None), ("name", str)])
    assert [line.split(" has ")[0].rsplit(".", 1)[1] for line in unbounded(loose)] == ["n"]
