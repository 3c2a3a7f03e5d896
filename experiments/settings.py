"""Typed settings: a config's nodes become frozen dataclasses, or one line says why not.

A node's `_target_` names the dataclass; the dataclass's fields give the types and, in their
metadata, the ranges (gt, ge, lt, le), the `choices`, the `unit`, and `static=True` where a
new value means a new compilation. A field may itself hold a node with a `_target_`, a plain
nested dataclass, or a list or mapping of either. NaN and infinities are refused everywhere.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from envs.fields import Spot, convert
from envs.targets import ConfigError, nearest, refuse, resolve_target

__all__ = [
    "ConfigError",
    "Job",
    "Leaf",
    "Run",
    "build",
    "described",
    "numeric_leaves",
    "plain_values",
    "resolve_all",
]

T = TypeVar("T")
Node = DictConfig | Mapping[str, Any]
MAX_INT32 = 2**31 - 1  # integers are int32 in compiled code


@dataclass(frozen=True)
class Run:
    """The numbers that stand at the top of every config."""

    master_seed: int = field(default=0, metadata={"ge": 0, "le": MAX_INT32})
    horizon: int = field(default=200, metadata={"ge": 1, "le": 1_000_000, "unit": "evaluations", "static": True})
    seeds: int = field(default=256, metadata={"ge": 1, "le": 1_000_000, "static": True})
    precision: str = field(default="float64", metadata={"choices": ("float64", "float32"), "static": True})
    strict: bool = False
    data: str = ""  # a file that some experiments read
    run: str = ""  # the folder of a vetted run, for export


@dataclass(frozen=True)
class Job:
    """What an experiment's `run(job)` is given: everything checked and built."""

    run: Run
    out: Path  # the run's folder: it exists, and config.yaml is in it
    groups: Mapping[str, object]  # group -> built dataclass, dict of them (estimator), or None
    choices: Mapping[str, str]  # group -> name of the chosen yaml, for tables
    config: Mapping[str, object]  # plain values of the whole config, defaults filled in

    def pick(self, group: str, kind: type[T]) -> T:
        """The built object of a group, refused unless it is a `kind`.

        Raises:
            ConfigError: the group is missing, or its choice is of another kind.
        """
        found = self.groups.get(group)
        if found is None:
            raise refuse(group, self.choices.get(group), f"a choice that is not empty: {group}=NAME")
        if not isinstance(found, kind):
            need = f"a choice that makes {kind.__module__}.{kind.__name__}"
            raise refuse(group, self.choices.get(group), need)
        return found


class Leaf(NamedTuple):
    """One number inside a built object, with the field metadata that rules it."""

    path: str
    value: int | float
    rules: Mapping[str, Any]


def build(node: Node, path: str, *, allow: Sequence[str] = ()) -> object:
    """Make the dataclass that a node's `_target_` names, from the node's values.

    Args:
        node: the values, `_target_` among them; keys left out take the field's default.
        path: dotted path of the node, for messages.
        allow: full names of modules outside the four packages that the user allows.

    Raises:
        ConfigError: one line with the dotted path, the value got, what is allowed, and the
            nearest valid name.
    """
    plain = plain_values(node, path)
    if "_target_" not in plain:
        raise refuse(path, plain, "a node with a _target_")
    kind = resolve_target(plain["_target_"], path, allow=allow)
    values = {key: value for key, value in plain.items() if key != "_target_"}
    return convert(values, kind, Spot(path, {}, tuple(allow)))


def resolve_all(cfg: Node, *, allow: Sequence[str] = ()) -> dict[str, object]:
    """Build every group of a composed config, after resolving every `_target_` in it.

    Args:
        cfg: the composed config; only its mappings are read, top-level numbers are `Run`'s.
        allow: as in `build`.

    Returns:
        group -> built object; dict of built objects for a group chosen as a list; None for
        an empty choice.

    Raises:
        ConfigError: as in `build`; nothing has been instantiated if a `_target_` is refused.
    """
    plain = plain_values(cfg, "config")
    for path, target in _targets(plain, ""):
        resolve_target(target, path, allow=allow)
    nodes = {group: node for group, node in plain.items() if isinstance(node, Mapping)}
    return {group: _group(node, group, allow) for group, node in nodes.items()}


def _group(node: Mapping[str, Any], group: str, allow: Sequence[str]) -> object:
    if "_target_" in node:
        return build(node, group, allow=allow)
    chosen = [key for key, child in node.items() if list(_targets(child, ""))[:1]]
    for key in node.keys() - chosen:
        need = f"one of the choices made, {', '.join(chosen)}{nearest(key, chosen)}"
        empty = f"nothing: this choice of {group!r} has no keys"
        raise refuse(f"{group}.{key}", node[key], need if chosen else empty)
    return {key: build(child, f"{group}.{key}", allow=allow) for key, child in node.items()} or None


def plain_values(node: Node, path: str) -> dict[str, Any]:
    """A node as plain dicts, lists and scalars, every interpolation resolved.

    Raises:
        ConfigError: an interpolation leads nowhere, or the node is no mapping.
    """
    try:
        plain: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    except OmegaConfBaseException as error:
        raise ConfigError(" ".join(f"{path}: {error}".split())) from error
    if not isinstance(plain, Mapping):
        raise refuse(path, plain, "a mapping")
    return dict(plain)


def _targets(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Every `_target_` below `value` with the dotted path of its node, in order."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value["_target_"]
        for key, child in value.items():
            yield from _targets(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _targets(child, f"{path}[{index}]")


def numeric_leaves(built: object, path: str = "") -> tuple[Leaf, ...]:
    """Every number in a built object, nested ones too, in field order; bools are no numbers.

    >>> [(leaf.path, leaf.value) for leaf in numeric_leaves(Run())]
    [('master_seed', 0), ('horizon', 200), ('seeds', 256)]
    """
    return tuple(_leaves(built, path, MappingProxyType({})))


def _leaves(value: object, path: str, rules: Mapping[str, Any]) -> Iterator[Leaf]:
    dot = f"{path}." if path else ""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _leaves(getattr(value, item.name), dot + item.name, item.metadata)
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{dot}{key}", rules)
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}[{index}]", rules)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield Leaf(path, value, rules)


def described(value: object) -> Any:
    """Plain values (dicts, lists, scalars) of a built object, with `_target_` and defaults.

    `build(described(x), path)` gives an object equal to x.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        items = [item for item in dataclasses.fields(value) if item.init]
        return {"_target_": f"{kind.__module__}.{kind.__name__}"} | {
            item.name: described(getattr(value, item.name)) for item in items
        }
    if isinstance(value, Mapping):
        return {key: described(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [described(child) for child in value]
    return str(value) if isinstance(value, Path) else value
