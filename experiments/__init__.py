"""Who runs it: simulation, vetting, sweeps, reports; the one entry point is `run`.

Importing it refuses a stranger's distribution that has a folder of the same name as one
of ours: those names are taken in the public registry, and its code would run unnoticed.
"""

from importlib.util import find_spec
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent
for _name in ("envs", "policies", "evaluators", "configs"):
    _spec = find_spec(_name)
    _found = Path(_spec.origin).resolve().parent.parent if _spec and _spec.origin else None
    if _found != _HOME:
        raise ImportError(
            f"'{_name}' was found in {_found}, not in {_HOME}: another installed distribution "
            f"has a folder of that name; uninstall it, or use an environment of its own"
        )
