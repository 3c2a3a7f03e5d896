"""What production and log readers import loads no heavy package, seen in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("altair", "gymnasium", "jax", "matplotlib", "pandas", "scipy.stats")
HEAVY_HOMES = {
    "envs/randomness.py",
    *(f"envs/gym{part}.py" for part in ("", "_lanes", "_noise", "_stage", "_vector")),
}  # may load gymnasium and jax
LIGHT_FOLDERS = ("envs", "policies", "evaluators")

# Imports each module named, then prints, for each, the heavy packages it was first to load.
PROBE = """
import importlib, json, sys
heavy, loaded, found = set(json.loads(sys.argv[1])), set(), {}
for name in sys.argv[2:]:
    importlib.import_module(name)
    found[name] = sorted((heavy & sys.modules.keys()) - loaded)
    loaded |= set(found[name])
print(json.dumps({name: heavy for name, heavy in found.items() if heavy}))
"""
# Runs `python -m experiments.run --help`, then prints the heavy packages that it loaded.
HELP_PROBE = """
import json, runpy, sys
heavy, sys.argv = set(json.loads(sys.argv[1])), ["run", "--help"]
try:
    runpy.run_module("experiments.run", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted(heavy & sys.modules.keys())))
"""


def run_probe(root: Path, probe: str, *arguments: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """The lines a probe prints in a new interpreter that started in the repository."""
    command = [sys.executable, "-c", probe, json.dumps(heavy), *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def light_modules(root: Path) -> list[str]:
    """Every module left of experiments, but for the homes of the heavy packages."""
    files = (path for folder in LIGHT_FOLDERS for path in sorted((root / folder).rglob("*.py")))
    paths = [path.relative_to(root).as_posix() for path in files]
    names = [path.removesuffix(".py").replace("/", ".") for path in paths if path not in HEAVY_HOMES]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.slow
def test_modules_left_of_experiments_load_nothing_heavy(root: Path) -> None:
    assert json.loads(run_probe(root, PROBE, *light_modules(root))[-1]) == {}


def test_the_import_probe_finds_a_package_that_was_loaded(root: Path) -> None:
    found = run_probe(root, PROBE, "envs", "json.tool", "yaml", heavy=("json.tool", "yaml"))
    assert json.loads(found[-1]) == {"json.tool": ["json.tool"], "yaml": ["yaml"]}


@pytest.mark.slow
def test_help_loads_nothing_heavy_and_shows_the_groups(root: Path) -> None:
    lines = run_probe(root, HELP_PROBE)
    assert json.loads(lines[-1]) == []
    for group in ("experiment", "world", "policy", "estimator", "approval"):
        assert any(group in line for line in lines), f"{group} is not in the help"


@pytest.mark.slow
def test_the_help_probe_finds_a_package_that_was_loaded(root: Path) -> None:
    assert json.loads(run_probe(root, HELP_PROBE, heavy=("hydra",))[-1]) == ["hydra"]
