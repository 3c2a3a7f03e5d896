"""A stranger's distribution with a folder named like one of ours is refused by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STRANGERS = ("envs", "policies", "evaluators", "configs")


def import_experiments(root: Path, *first: Path) -> subprocess.CompletedProcess[str]:
    """`import experiments` in a new interpreter that looks in `first` before the repository."""
    path = os.pathsep.join(map(str, (*first, root)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", "import experiments"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_our_own_folders_are_accepted(root: Path) -> None:
    done = import_experiments(root)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", STRANGERS)
def test_a_strangers_folder_is_refused_with_both_places(name: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = import_experiments(root, tmp_path)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert f"'{name}' was found in {tmp_path.resolve()}, not in {root}" in message
