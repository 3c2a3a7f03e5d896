"""From the name in a yaml's `_target_` to the dataclass it means, and to nothing else.

A config is not a program: a name resolves only when a module of the four packages lists it
in its `__all__` and defines it there. Attribute walks (`envs.lattice.os.getcwd`) end at the
first step that is not a module. Another module counts only if the caller allows it by name.
"""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["PACKAGES", "ConfigError", "function_of", "nearest", "refuse", "resolve_target"]

PACKAGES = ("envs", "policies", "evaluators", "experiments")


class ConfigError(ValueError):
    """A config that cannot be run; its message is one line, fit to show as it is."""


def nearest(got: object, names: Iterable[str]) -> str:
    """The close misspelling of `got` among `names` as a hint, or an empty string.

    >>> nearest("linucbb", ["linucb", "thompson"])
    "; did you mean 'linucb'?"
    """
    close = difflib.get_close_matches(str(got), list(names), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def refuse(path: str, got: object, need: str) -> ConfigError:
    """The error for one value: where, what was got, what was needed, on one line.

    >>> str(refuse("policy.epsilon", 1.5, "a float <= 1"))
    'policy.epsilon: got 1.5, need a float <= 1'
    """
    shown = repr(got)
    shown = shown if len(shown) <= 80 else f"{shown[:38]}...{shown[-39:]}"  # both ends: a path says most at its end
    return ConfigError(" ".join(f"{path}: got {shown}, need {need}".split()))


def resolve_target(target: object, path: str, *, allow: Sequence[str] = ()) -> type:
    """The dataclass that `target` names.

    Args:
        target: what stood at `_target_`, such as "policies.learners.uniform.Params".
        path: dotted path of the node, for messages.
        allow: full names of further modules that the user allows.

    Raises:
        ConfigError: not a dataclass in the `__all__` of a module we may read.
    """
    where = f"{path}._target_"
    parts = target.split(".") if isinstance(target, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise refuse(where, target, "a name such as 'policies.learners.uniform.Params'")
    module_name, name = ".".join(parts[:-1]), parts[-1]
    if parts[0] not in PACKAGES and module_name not in allow:
        raise refuse(
            where,
            target,
            f"a module of {', '.join(PACKAGES)}{nearest(module_name, _modules())}"
            f" (to allow another, add allow_targets=[{module_name}] to the command line)",
        )
    module = _import(module_name, target, where)
    public = list(getattr(module, "__all__", []))
    if name not in public:
        need = f"one of {', '.join(public) or 'nothing'} (the __all__ of {module_name})"
        raise refuse(where, target, need + nearest(name, public))
    found = getattr(module, name, None)
    if not (isinstance(found, type) and is_dataclass(found) and found.__module__ == module_name):
        raise refuse(where, target, f"a dataclass defined in {module_name}")
    return found


def _import(module_name: str, target: object, where: str) -> ModuleType:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{module_name}.".startswith(f"{missing}."):
            raise refuse(where, target, f"the package {missing!r}, which is missing") from error
        need = f"a module that exists{nearest(module_name, _modules())}"
        raise refuse(where, target, need) from error
    except ImportError as error:
        raise refuse(where, target, f"a module that imports ({error})") from error
    if module.__name__ != module_name:
        raise refuse(where, target, f"the module's own name, {module.__name__!r}")
    return module


def _modules() -> list[str]:
    """Every module of the four packages, read from the folders without importing any."""
    names = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for file in Path(root).rglob("*.py"):
                steps = file.relative_to(root).with_suffix("").parts
                names.append(".".join((package, *(s for s in steps if s != "__init__"))))
    return sorted(names)


def function_of(built: object, name: str) -> Callable[..., Any]:
    """The function `name` of the module that defines a plug-in's dataclass.

    Raises:
        ConfigError: the module's `__all__` does not list it.
    """
    module = sys.modules[type(built).__module__]
    public = list(getattr(module, "__all__", []))
    found = getattr(module, name, None) if name in public else None
    if not callable(found):
        need = f"a module whose __all__ lists the function {name!r}{nearest(name, public)}"
        raise refuse(f"{module.__name__}.{type(built).__name__}", public, need)
    return found  # type: ignore[no-any-return]  # getattr of a module is untyped
