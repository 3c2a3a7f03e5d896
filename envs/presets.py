"""A preset by its name: configs/world/NAME.yaml, checked by the dataclass it names.

For callers left of experiments (the Gymnasium environment, notebooks): the same types,
ranges and refusals as on the command line, without Hydra, so nothing can be overridden.
"""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from omegaconf import OmegaConf

from envs.drift import Params as DriftParams
from envs.fields import Spot, convert
from envs.targets import nearest, refuse
from envs.world import Scenario

__all__ = ["components", "load", "names", "scenario", "simulated"]

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def names(group: str) -> list[str]:
    """The choices of a config group, sorted.

    >>> "flat_null" in names("world")
    True
    """
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


def simulated() -> list[str]:
    """The worlds that need no file of the user's, sorted: everything they need stands in their yaml.

    >>> "flat_null" in simulated(), "replay" in simulated()
    (True, False)
    """
    files = {name: (CONFIGS / "world" / f"{name}.yaml").read_text(encoding="utf-8") for name in names("world")}
    return [name for name, text in files.items() if not re.search(r"^\w+:\s*\?\?\?", text, re.MULTILINE)]


def _plain(group: str, name: str) -> dict[str, object]:
    read = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{name}.yaml"), resolve=False)
    assert isinstance(read, dict)
    return {str(key): value for key, value in read.items()}


def load(group: str, name: str) -> object:
    """The dataclass that configs/GROUP/NAME.yaml describes.

    Raises:
        ConfigError: no such choice (the nearest one is named), or a value that is refused.
    """
    known = names(group)
    if name not in known:
        raise refuse(group, name, f"one of {', '.join(known)}{nearest(name, known)}")
    return convert(_plain(group, name), object, Spot(group, {}, ()))


def components(names: str | Sequence[str]) -> dict[str, DriftParams]:
    """The drift components of some choices of configs/drift, by name.

    Raises:
        ConfigError: as `load`.
    """
    chosen = [names] if isinstance(names, str) else list(names)
    found = {name: load("drift", name) for name in chosen}
    return {name: one for name, one in found.items() if isinstance(one, DriftParams)}


def scenario(world: str, *, drift: str | Sequence[str] = "none") -> Scenario:
    """The scenario of a preset, ready to run.

    Args:
        world: a choice of configs/world.
        drift: a choice of configs/drift, or several, which then compose.

    Raises:
        ConfigError: as `load`.
        ValueError: the world's own `build` refuses its numbers.
    """
    params, moved = load("world", world), components(drift)
    made = import_module(type(params).__module__).build(params, drift=tuple(moved.values()))
    assert isinstance(made, Scenario)
    return made
