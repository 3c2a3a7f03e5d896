"""A preset by its name: configs/world/NAME.yaml, checked by the dataclass it names.

For callers left of experiments (the Gymnasium environment, notebooks): the same types,
ranges and refusals as on the command line, without Hydra, so nothing can be overridden.
"""

from importlib import import_module
from pathlib import Path

from omegaconf import OmegaConf

from envs.drift import Params as DriftParams
from envs.fields import Spot, convert
from envs.targets import nearest, refuse
from envs.world import Scenario

__all__ = ["load", "names", "scenario"]

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def names(group: str) -> list[str]:
    """The choices of a config group, sorted.

    >>> "flat_null" in names("world")
    True
    """
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


def load(group: str, name: str) -> object:
    """The dataclass that configs/GROUP/NAME.yaml describes.

    Raises:
        ConfigError: no such choice (the nearest one is named), or a value that is refused.
    """
    known = names(group)
    if name not in known:
        raise refuse(group, name, f"one of {', '.join(known)}{nearest(name, known)}")
    plain = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{name}.yaml"), resolve=True)
    return convert(plain, object, Spot(group, {}, ()))


def scenario(world: str, *, drift: str = "none") -> Scenario:
    """The scenario of a preset, ready to run.

    Args:
        world: a choice of configs/world.
        drift: a choice of configs/drift.

    Raises:
        ConfigError: as `load`.
        ValueError: the world's own `build` refuses its numbers.
    """
    params, moved = load("world", world), load("drift", drift)
    if not isinstance(moved, DriftParams):
        raise refuse("drift", drift, "a choice that makes envs.drift.Params")
    made = import_module(type(params).__module__).build(params, drift_params=moved)
    assert isinstance(made, Scenario)
    return made
