"""The notebook: script and notebook are one, without outputs, and it runs."""

import importlib.util
import os
import subprocess
import sys

import jupytext
import nbformat
import pytest

from experiments.results import load_results

NAME = "convergence"


@pytest.fixture(scope="module")
def run_dir(root, tmp_path_factory):
    """A made-up run, from the generator of the experiments' tests."""
    path = root / "tests" / "experiments" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up_run", path)
    assert spec is not None
    assert spec.loader is not None
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    return made_up.make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def environment(root, run_dir):
    """Of a user who looks at that run from this checkout."""
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"GUARDBAND_RUN": str(run_dir), "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def notebook(root):
    return nbformat.read(root / "notebooks" / f"{NAME}.ipynb", as_version=4)


def test_script_and_notebook_hold_the_same_cells(root, notebook):
    script = jupytext.read(root / "notebooks" / f"{NAME}.py")
    cells = [[(c.cell_type, c.source) for c in each.cells] for each in (script, notebook)]
    assert cells[0] == cells[1], "run `jupytext --sync notebooks/convergence.py`"


def test_notebook_has_no_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_it_runs_as_a_plain_script(root, environment, run_dir):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(root / "notebooks" / f"{NAME}.py")],
        env=environment | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"refused; {len(load_results(run_dir)):,} measurements" in done.stdout
    assert "world gsm8k_small; approval rules: improve, two_sample" in done.stdout
    assert "thompson" in done.stdout


@pytest.mark.slow
def test_it_runs_in_a_kernel_and_shows_its_pictures(root, environment, tmp_path):
    environment = environment | {"IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("MPLBACKEND", None)  # the kernel's own draws into the notebook
    shown = tmp_path / "shown.ipynb"
    code = (
        "import sys, nbformat, nbclient;"
        "nb = nbformat.read(sys.argv[1], as_version=4);"
        "nbclient.NotebookClient(nb, timeout=120, kernel_name='python3').execute();"
        "nbformat.write(nb, sys.argv[2])"
    )
    source = root / "notebooks" / f"{NAME}.ipynb"
    command = [sys.executable, "-c", code, str(source), str(shown)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = [o for c in nbformat.read(shown, as_version=4).cells for o in c.get("outputs", [])]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") == 2  # one a rule
    assert kinds.count("text/html") == 2  # shares and claims
