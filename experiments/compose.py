"""From the words of a command line to checked jobs, by Hydra's grammar and search path.

Settings are composed unchecked and then checked against the dataclasses, so that every
refusal has the same form; Hydra's own errors are put on one line. Nothing in a config is
executed: no callbacks, and `_target_`s are names that `envs.targets` accepts.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from envs.fields import Spot, convert
from envs.targets import ConfigError, nearest, refuse
from experiments.settings import Job, Run, described, plain_values, resolve_all

__all__ = [
    "CONFIGS",
    "Book",
    "Request",
    "check",
    "compose",
    "open_book",
    "overrides_of",
    "read",
    "spread",
]

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
_ALLOW, _SEARCH = "allow_targets", "hydra.searchpath"


@dataclass(frozen=True)
class Book:
    """The configs that can be chosen: the project's, and the user's own folders."""

    loader: ConfigLoader
    search: tuple[str, ...]  # Hydra override that names the user's folders, or nothing
    groups: Mapping[str, list[str]]  # group -> its choices, sorted

    def get_group_options(self, group_name: str, results_filter: ObjectType) -> list[str]:
        """The choices of one group; Hydra's name, because its `glob(...)` sweeps call it."""
        return self.groups.get(group_name, []) if results_filter is ObjectType.CONFIG else []


class Request(NamedTuple):
    """A command line's settings, read but not yet checked."""

    overrides: tuple[Override, ...]
    allow: tuple[str, ...]  # modules the user allows a `_target_` to name
    search: tuple[str, ...]  # folders of the user's own configs


def read(words: Sequence[str], config_dirs: Sequence[str] = ()) -> Request:
    """Parse settings, and take out those that are for us and not for the config.

    Args:
        words: `key=value` and Hydra's other forms (`+key=value`, `~key`).
        config_dirs: folders of the user's own configs.

    Raises:
        ConfigError: a word cannot be read, or a folder cannot be used.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
    except OverrideParseException as error:
        raise refuse("command line", error.override, "key=value, odd values quoted") from error
    search = [_usable(folder, "--config-dir") for folder in config_dirs]
    allow: list[str] = []
    for override in parsed:
        if not override.key_or_group:
            raise refuse("command line", override.input_line, "key=value, odd values quoted")
        if override.key_or_group in (_ALLOW, _SEARCH):
            value = override.value()
            if not isinstance(value, str | list):
                raise refuse(override.key_or_group, value, "a list, such as [my_module]")
            found = [value] if isinstance(value, str) else [str(item) for item in value]
            if override.key_or_group == _ALLOW:
                allow += found
            else:
                search += [_usable(folder, _SEARCH) for folder in found]
    rest = tuple(o for o in parsed if o.key_or_group not in (_ALLOW, _SEARCH))
    return Request(rest, tuple(allow), tuple(search))


def _usable(place: str, path: str) -> str:
    """A folder of the user's: it exists and hides none of its files behind ours."""
    if "://" in place and not place.startswith("file://"):
        return place
    folder = Path(place.removeprefix("file://"))
    if not folder.is_dir():
        raise refuse(path, place, "a folder that exists")
    for file in sorted(folder.rglob("*.yaml")):
        name = file.relative_to(folder)
        if (CONFIGS / name).exists() and not (CONFIGS / name).samefile(file):
            raise refuse(path, str(name), "another name: the project's own hides it")
    return str(folder.resolve())


@contextmanager
def open_book(search: Sequence[str] = ()) -> Iterator[Book]:
    """Hydra on the project's configs and the folders of `search`, for the length of a block."""
    quoted = ", ".join("'" + folder.replace("'", "\\'") + "'" for folder in search)
    override = (f"{_SEARCH}=[{quoted}]",) if search else ()
    with initialize_config_dir(str(CONFIGS), job_name="run", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        names = loader.get_group_options("", ObjectType.GROUP, None, list(override))
        groups = {
            name: loader.get_group_options(name, ObjectType.CONFIG, None, list(override))
            for name in names
            if name != "hydra"
        }
        yield Book(loader, override, {name: found for name, found in groups.items() if found})


def spread(request: Request, book: Book) -> list[tuple[str, ...]]:
    """One tuple of settings per job: the product of all values that are given.

    >>> with open_book() as book:
    ...     spread(read(["horizon=50,100", "seeds=8"]), book)
    [('horizon=50', 'seeds=8'), ('horizon=100', 'seeds=8')]
    """
    return list(itertools.product(*(_values(item, book) for item in request.overrides)))


def _values(override: Override, book: Book) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise refuse(override.key_or_group, override.input_line, "a list or range of values")
    override.config_loader = book  # type: ignore[assignment]  # it asks for group options only
    key = override.get_key_element()
    values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise refuse(override.key_or_group, override.input_line, "a pattern that fits something")
    return values


def compose(book: Book, words: Sequence[str], *, mode: RunMode = RunMode.RUN) -> DictConfig:
    """The config of one job, Hydra's own node included; unknown keys are kept for `check`.

    Raises:
        ConfigError: a group has no such choice, or Hydra cannot compose.
    """
    settings = [*book.search, *overrides_of(book, words), f"hydra.mode={mode.name}"]
    try:
        cfg = book.loader.load_configuration("config", settings, mode)
    except Exception as error:
        text = str(error).split("Config search path")[0].split("See https")[0]
        raise ConfigError(f"config: {' '.join(text.split())}") from error
    if cfg.hydra.callbacks:
        raise refuse("hydra.callbacks", dict(cfg.hydra.callbacks), "none: a config runs nothing")
    return cfg


def overrides_of(book: Book, words: Sequence[str]) -> list[str]:
    """The settings as Hydra is to take them: choices checked, keys free to be new.

    Raises:
        ConfigError: a group has no such choice.
    """
    result = []
    for override in OverridesParser.create().parse_overrides(list(words)):
        is_choice = override.key_or_group in book.groups and not isinstance(override.value(), dict)
        if is_choice and not override.is_delete():
            _check_choice(override, book.groups[override.key_or_group])
        is_plain = override.type is OverrideType.CHANGE and not override.is_hydra_override()
        result.append(("++" if is_plain and not is_choice else "") + str(override.input_line))
    return result


def _check_choice(override: Override, choices: Sequence[str]) -> None:
    value = override.value()
    for name in value if isinstance(value, list) else [value]:
        if name not in choices:
            need = f"one of {', '.join(choices)}{nearest(name, choices)}"
            raise refuse(override.key_or_group, name, need)


def check(cfg: DictConfig, chosen: Mapping[str, Any], *, groups: Sequence[str], allow: Sequence[str] = ()) -> Job:
    """Everything in a composed config, typed, in range and built; `out` is left at ".".

    Args:
        cfg: as `compose` returns it, with or without Hydra's node.
        chosen: group -> the name of its chosen yaml, as Hydra's `runtime.choices`.
        groups: the groups there are.
        allow: modules outside the four packages that a `_target_` may name.

    Raises:
        ConfigError: the first fault found, on one line.
    """
    plain = OmegaConf.create({k: v for k, v in cfg.items_ex(resolve=False) if k != "hydra"})
    _check_keys(OmegaConf.to_container(plain), groups)
    values = _named_intervals(plain_values(plain, "config"))
    run = convert({k: v for k, v in values.items() if k not in groups}, Run, Spot("", {}, ()))
    built = resolve_all({k: v for k, v in values.items() if k in groups}, allow=allow)
    choices = {group: _choice(chosen.get(group), built[group]) for group in built}
    config = {item.name: getattr(run, item.name) for item in fields(run)} | described(built)
    return Job(run, Path(), built, choices, config)


def _named_intervals(values: Mapping[str, Any]) -> dict[str, Any]:
    """An estimator's or the gate's interval given by name, as in `gate.interval=model`, as that yaml's numbers."""
    found = dict(values)
    if isinstance(found.get("gate"), Mapping):
        found["gate"] = _with_interval(found["gate"], "gate")
    if isinstance(found.get("estimator"), Mapping):
        members = found["estimator"].items()
        found["estimator"] = {name: _with_interval(one, f"estimator.{name}") for name, one in members}
    return found


def _with_interval(node: Any, path: str) -> Any:
    name = node.get("interval") if isinstance(node, Mapping) else None
    if not isinstance(name, str):
        return node
    known = sorted(file.stem for file in (CONFIGS / "interval").glob("*.yaml"))
    if name not in known:
        raise refuse(f"{path}.interval", name, f"one of {', '.join(known)}{nearest(name, known)}")
    return {**node, "interval": OmegaConf.to_container(OmegaConf.load(CONFIGS / "interval" / f"{name}.yaml"))}


def _choice(name: object, built: object) -> str:
    """The chosen yaml's name; a list choice is the names of its members."""
    return ",".join(built) if isinstance(built, dict) else str(name)


def _check_keys(plain: Any, names: Sequence[str]) -> None:
    numbers = [item.name for item in fields(Run)]
    for key, value in plain.items():
        if key == _ALLOW:
            raise refuse(key, value, "nothing in a config: it counts on the command line only")
        if key in names and not isinstance(value, Mapping):
            raise refuse(key, value, f"a choice or a mapping, such as {key}.number=1")
        if key in names or key in numbers:
            continue
        deeper = [path for path in _paths(plain) if path.split(".")[-1] == key and path != key]
        hint = f"; did you mean {deeper[0]!r}?" if deeper else nearest(key, [*names, *numbers])
        raise refuse(key, value, f"one of the keys {', '.join([*names, *numbers])}{hint}")


def _paths(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
