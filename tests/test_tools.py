"""Lint, format and types hold for the whole repository, and each tool finds a planted fault."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

FAULTS = {  # rule -> a file in envs/ that breaks it; `_` is a good header
    "D100": "x = 1\n",
    "D103": '"""A."""\n\n\ndef f() -> int:\n    return 1\n',
    "ANN201": '"""A."""\n\n\ndef f():\n    """One."""\n',
    "NPY002": '"""A."""\n\nimport numpy as np\n\nnp.random.seed(0)\n',
    "E501": f'"""A {"long " * 30}."""\n',
    "B006": '"""A."""\n\n\ndef f(a: list[int] = []) -> None:\n    """One."""\n',
}


def run_tool(root: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """A module of this interpreter, run in the repository, with `text` on its input."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=root, input=text, capture_output=True, text=True, check=False)


def test_every_file_is_formatted(root: Path) -> None:
    done = run_tool(root, "ruff", "format", "--check", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_lint_free(root: Path) -> None:
    done = run_tool(root, "ruff", "check", "--quiet", "--output-format=concise")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("rule", "text"), FAULTS.items(), ids=str)
def test_lint_finds_its_planted_fault(rule: str, text: str, root: Path) -> None:
    arguments = ("ruff", "check", "--quiet", "--stdin-filename", "envs/planted.py", "-")
    done = run_tool(root, *arguments, text=text)
    assert done.returncode == 1
    assert rule in done.stdout


@pytest.mark.slow
def test_every_file_is_typed(root: Path) -> None:
    done = run_tool(root, "mypy", "--no-error-summary")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_types_find_their_planted_fault(root: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f(x): return x\n")
    done = run_tool(root, "mypy", str(planted))
    assert done.returncode == 1
    assert "[no-untyped-def]" in done.stdout


def test_the_pins_meet_the_ranges_of_the_project(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ranges = [one for one in (*project["dependencies"], *extras["export"], *extras["signing"]) if ">=" in one]
    pins = (root / "requirements" / "dev.txt").read_text()
    for wanted in ranges:
        name, _, lowest = wanted.split(",")[0].partition(">=")
        pinned = [line for line in pins.splitlines() if line.startswith(f"{name}==")]
        assert pinned, f"{name} is in pyproject.toml and has no pin"
        assert _version(pinned[0]) >= _version(lowest), f"{pinned[0]} is below {wanted}"


def _version(text: str) -> tuple[int, ...]:
    """The release number, enough to order pins: `1.9.0.post1` gives (1, 9, 0)."""
    parts = text.split("==")[-1].split()[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())
