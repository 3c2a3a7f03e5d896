"""The surface of docs/worlds.md: its text, as a user would copy it, runs from a folder of the user's own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "worlds.md").read_text(encoding="utf-8")
SMALL = (
    "seeds=4",
    "horizon=40",
    "experiment.ope_logs=2",
    "experiment.gate_replications=0",
    "experiment.converged_by=[20,40]",
)


def block(kind: str) -> str:
    found = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 1, f"docs/worlds.md has {len(found)} blocks of {kind}, need one"
    return str(found[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("user")
    (place / "my_configs" / "world").mkdir(parents=True)
    (place / "my_surface.py").write_text(block("python"), encoding="utf-8")
    (place / "my_configs" / "world" / "mine.yaml").write_text(block("yaml"), encoding="utf-8")
    return place


def run(place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "experiments.run", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_surface_outside_the_project_is_vetted_from_its_own_yaml(folder):
    words = ("world=mine", "hydra.searchpath=[file://my_configs]", "allow_targets=[my_surface]", "hydra.run.dir=out")
    done = run(folder, *words, *SMALL)
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert summary["verdict"] in ("approved", "refused", "insufficient support")
    assert "peak: 0.9" in (folder / "out" / "config.yaml").read_text()


@pytest.mark.slow
def test_a_surface_that_was_not_allowed_is_refused_with_the_mend(folder):
    done = run(folder, "world=mine", "hydra.searchpath=[file://my_configs]", "hydra.run.dir=no")
    assert done.returncode == 2
    assert "allow_targets=[my_surface]" in done.stderr
    assert not (folder / "no").exists()


@pytest.mark.slow
def test_a_users_number_is_checked_against_the_users_own_range(folder):
    words = ("world=mine", "hydra.searchpath=[file://my_configs]", "allow_targets=[my_surface]", "world.peak=2")
    done = run(folder, *words)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: world.peak: got 2.0, need a number >= 0.0 and <= 1.0"
