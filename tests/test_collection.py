"""The suite collects what it should, and runs it as `conftest.py` says."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

PACKAGES = ("envs", "policies", "evaluators", "experiments")


def test_a_bare_pytest_looks_into_tests_and_all_packages(pytestconfig: pytest.Config) -> None:
    assert set(pytestconfig.getini("testpaths")) == {"tests", *PACKAGES}
    assert "--doctest-modules" in pytestconfig.getini("addopts")


@pytest.mark.slow
def test_the_files_with_an_example_and_no_others_are_collected(root: Path, sources: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *PACKAGES]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    paths = {path for path in sources if path.startswith(PACKAGES) and path.endswith(".py")}
    collected = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert collected == {path for path in paths if ">>> " in sources[path]}


def test_jax_would_run_in_float64_without_silent_promotion() -> None:
    assert os.environ["JAX_ENABLE_X64"] == "1"
    assert os.environ["JAX_NUMPY_DTYPE_PROMOTION"] == "strict"


def test_a_warning_is_an_error() -> None:
    with pytest.raises(UserWarning, match="planted"):
        warnings.warn("planted", stacklevel=1)
