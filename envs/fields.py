"""One value of a config, checked against the annotation and the metadata of its field.

Scalars are typed by OmegaConf's own nodes (so "3" is an int and "abc" is not); this module
adds what OmegaConf leaves out: ranges, choices, tuples, nested `_target_`s, one-line errors.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from omegaconf import BooleanNode, FloatNode, IntegerNode, PathNode, StringNode
from omegaconf.errors import ValidationError

from envs.targets import ConfigError, nearest, refuse, resolve_target

__all__ = ["Spot", "convert", "need"]

MISSING = "???"  # OmegaConf's mark for a value the user must give
_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "an int",
    float: "a number",
    str: "a string",
    Path: "a path",
}
_NODES: dict[object, Callable[..., Any]] = {
    bool: BooleanNode,
    int: IntegerNode,
    float: FloatNode,
    str: StringNode,
    Path: PathNode,
}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class Spot(NamedTuple):
    """Where a value stands: its dotted path, its field's metadata, the modules allowed."""

    path: str
    rules: Mapping[str, Any]
    allow: tuple[str, ...]


def need(kind: object, rules: Mapping[str, Any]) -> str:
    """In words, what a field takes.

    >>> need(float, {"ge": 0.0, "le": 1.0, "unit": "share"})
    'a number >= 0.0 and <= 1.0 (share)'
    """
    if "choices" in rules:
        return "one of " + ", ".join(map(str, rules["choices"]))
    bounds = " and ".join(f"{sign} {rules[key]}" for key, sign in _SIGNS.items() if key in rules)
    unit = f"({rules['unit']})" if "unit" in rules else ""
    return " ".join(part for part in (_words(kind), bounds, unit) if part)


def convert(value: object, kind: Any, spot: Spot) -> Any:
    """The value as its annotation wants it.

    Args:
        value: plain: scalar, list, mapping, or an object built before.
        kind: the annotation, resolved.
        spot: where it stands.

    Raises:
        ConfigError: wrong type, out of range, not among the choices, NaN or infinite, an
            unknown key, a missing key.
        TypeError: the annotation is of a form that no config value can take.
    """
    if isinstance(value, Mapping) and "_target_" in value:
        return _nested(value, kind, spot)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else _instance(value, kind, spot)
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _any_of(value, options, spot)
    if kind is NoneType:
        if value is not None:
            raise refuse(spot.path, value, "null")
        return None
    if origin is Literal:
        return _choice(value, spot._replace(rules={**spot.rules, "choices": options}))
    if (origin or kind) in (tuple, list, Sequence):
        return _sequence(value, kind, spot)
    if (origin or kind) in (dict, Mapping):
        return _mapping(value, options or (Any, Any), spot)
    if kind in (Any, object):
        return _untyped(value, spot)
    return _scalar(value, kind, spot)


def _nested(value: Mapping[str, Any], kind: Any, spot: Spot) -> object:
    target = resolve_target(value["_target_"], spot.path, allow=spot.allow)
    rest = {key: child for key, child in value.items() if key != "_target_"}
    options = [option for option in get_args(kind) or (kind,) if isinstance(option, type)]
    wanted = tuple(option for option in options if option not in (object, Any))
    fits = any(getattr(option, "_is_protocol", False) for option in wanted)
    if wanted and not fits and not issubclass(target, wanted):
        raise refuse(f"{spot.path}._target_", value["_target_"], _words(kind))
    return _instance(rest, target, spot)


def _instance(value: object, kind: type, spot: Spot) -> object:
    if not isinstance(value, Mapping):
        raise refuse(spot.path, value, f"a mapping with the keys of {kind.__name__}")
    items = {item.name: item for item in dataclasses.fields(kind) if item.init}
    for key in value:
        if key not in items:
            keys = f"one of the keys {', '.join(items) or '(none)'} of {kind.__module__}"
            raise refuse(f"{spot.path}.{key}", value[key], keys + nearest(key, items))
    hints = get_type_hints(kind)
    dot = f"{spot.path}." if spot.path else ""
    made = {}
    for name, item in items.items():
        here = Spot(dot + name, item.metadata, spot.allow)
        if name in value and not _is_missing(value[name]):
            made[name] = convert(_over_default(value[name], item.default), hints[name], here)
        elif name in value or _is_required(item):
            wanted = need(hints[name], item.metadata)
            raise ConfigError(f"{here.path}: missing, need {wanted} (add {here.path}=VALUE)")
    try:
        return kind(**made)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(" ".join(f"{spot.path}: {error}".split())) from error


def _is_missing(value: object) -> bool:
    return isinstance(value, str) and value == MISSING


def _is_required(item: dataclasses.Field[Any]) -> bool:
    none = dataclasses.MISSING
    return item.default is none and item.default_factory is none


def _over_default(value: Any, default: object) -> Any:
    """A partial mapping for a nested dataclass keeps the rest of that field's default."""
    plain = isinstance(value, Mapping) and "_target_" not in value
    if not plain or not dataclasses.is_dataclass(default) or isinstance(default, type):
        return value
    items = (item.name for item in dataclasses.fields(default) if item.init)
    return {name: getattr(default, name) for name in items} | dict(value)


def _any_of(value: object, options: tuple[Any, ...], spot: Spot) -> object:
    exact = [option for option in options if type(value) is option]
    refusals = []
    for option in exact or options:
        try:
            return convert(value, option, spot)
        except ConfigError as error:
            refusals.append(error)
    real = [option for option in options if option is not NoneType]
    if len(real) == 1 or exact:
        raise refusals[0]
    raise refuse(spot.path, value, " or ".join(need(option, spot.rules) for option in real))


def _sequence(value: object, kind: Any, spot: Spot) -> object:
    if not isinstance(value, list | tuple):
        raise refuse(spot.path, value, f"{_words(kind)}, such as [{value}]")
    options = get_args(kind) or (Any, ...)
    fixed = get_origin(kind) is tuple and options[-1] is not ...
    if fixed and len(options) != len(value):
        raise refuse(spot.path, value, f"a list of {len(options)}")
    kinds = options if fixed else (options[0],) * len(value)
    made = [
        convert(child, of, spot._replace(path=f"{spot.path}[{index}]"))
        for index, (child, of) in enumerate(zip(value, kinds, strict=True))
    ]
    return made if (get_origin(kind) or kind) is list else tuple(made)


def _mapping(value: object, kinds: tuple[Any, ...], spot: Spot) -> object:
    if not isinstance(value, Mapping):
        raise refuse(spot.path, value, "a mapping")
    return {
        convert(key, kinds[0], Spot(spot.path, {}, ())): convert(
            child, kinds[1], spot._replace(path=f"{spot.path}.{key}")
        )
        for key, child in value.items()
    }


def _untyped(value: object, spot: Spot) -> object:
    if isinstance(value, Mapping):
        return _mapping(value, (Any, Any), spot)
    if isinstance(value, list | tuple):
        return _sequence(value, tuple, spot)
    return _choice(_in_range(value, Any, spot), spot)


def _scalar(value: object, kind: Any, spot: Spot) -> object:
    if kind not in _NODES:
        raise TypeError(f"{spot.path}: no config value can be a {kind!r}; see envs.fields")
    if kind is bool and isinstance(value, int) and value not in (0, 1):
        raise refuse(spot.path, value, need(kind, spot.rules))
    try:
        typed = _NODES[kind](value=value, is_optional=False)._value()
    except ValidationError as error:
        raise refuse(spot.path, value, need(kind, spot.rules)) from error
    return _choice(_in_range(typed, kind, spot), spot)


def _in_range(value: object, kind: Any, spot: Spot) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    rules = spot.rules
    if not math.isfinite(value):
        raise refuse(spot.path, value, f"{need(kind, rules)}, finite")
    fits = (
        value > rules.get("gt", -math.inf)
        and value >= rules.get("ge", -math.inf)
        and value < rules.get("lt", math.inf)
        and value <= rules.get("le", math.inf)
    )
    if not fits:
        raise refuse(spot.path, value, need(kind, rules))
    return value


def _choice(value: object, spot: Spot) -> object:
    choices = spot.rules.get("choices")
    if choices is not None and value not in choices:
        raise refuse(spot.path, value, need(str, spot.rules) + nearest(value, map(str, choices)))
    return value


def _words(kind: Any) -> str:
    options = [option for option in get_args(kind) if option is not ...]
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_words(option) for option in options if option is not NoneType)
    if (get_origin(kind) or kind) in (tuple, list, Sequence):
        return f"a list, each {_words(options[0])}" if options else "a list"
    return _WORDS.get(kind, str(getattr(kind, "__name__", kind)))
