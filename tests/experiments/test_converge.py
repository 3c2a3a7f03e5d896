"""The experiment from a command line to its folder, on a preset and its control; it compiles three small programs."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from envs.presets import CONFIGS
from experiments.results import load_results, load_summary
from experiments.run import main

SMALL = (
    "experiment=convergence", "horizon=20", "seeds=16", "policy@experiment.flagship=thompson",
    "experiment.calibrated=[gsm8k_small]", "experiment.outside=[]", "experiment.reported=[]", "experiment.shared=''",
    "experiment.swap_worlds=[]", "experiment.price_worlds=[]", "experiment.path_worlds=[gsm8k_small]",
    "experiment.by=[5,20]", "experiment.control_seeds=32", "experiment.learner_seeds=16", "experiment.peer_seeds=2",
    "experiment.peers=[random_search]", "experiment.workers=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one small run, the other learners left out but for one."""
    place = tmp_path_factory.mktemp("convergence")
    recipe = OmegaConf.load(CONFIGS / "experiment" / "convergence.yaml")
    named = [str(key) for entry in recipe.defaults if isinstance(entry, DictConfig) for key in entry]
    learners = [key.rsplit(".", 1)[-1] for key in named if ".learners." in key]
    words = [*SMALL, *(f"~experiment.learners.{name}" for name in learners if name != "linucb")]
    assert main([*words, f"hydra.run.dir={place}"]) == 0
    return place


def test_the_folder_is_whole(folder: Path) -> None:
    summary = load_summary(folder)
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == set(summary.files)
    assert {f"figures/{name}.svg" for name in ("regret", "convergence", "live", "paths")} < files
    assert summary.verdict == "measured"
    assert {"flagship, CPU", "other learners, CPU", "peer random_search, CPU", "surfaces, CPU"} < set(summary.timings)


def test_the_claims_name_their_thresholds(folder: Path) -> None:
    required = [claim.required for claim in load_summary(folder).claims]
    for words in (">= 0.95, lower bound >= 0.93", ">= 0.9", ">= 0.98", "<= 6", "<= 0.01", ">= 0.75 at each", ">= 0.6"):
        assert words in required or "reported" in required


def test_everyone_is_in_the_table(folder: Path) -> None:
    table = load_results(folder)
    reached = table[table["measure"] == "reached"]
    assert set(reached["policy"]) == {"thompson", "linucb", "random_search"}
    assert set(reached["n"]) == {5, 20}
    ahead = table[table["measure"] == "flagship_ahead"]
    assert set(ahead["rule"]) == {"improve", "passage", "posterior pick", "best observed"}
    assert ((ahead["lo"] <= ahead["value"]) & (ahead["value"] <= ahead["hi"])).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiment.by=[50,20]"], "experiment.by"),
        (["experiment.by=[5,50]"], "experiment.by"),
        (["experiment.calibrated=[]"], "calibrated"),
        (["experiment.swap_worlds=[gsm8k_small]"], "horizon"),
        (["experiment.calibrated=[gsm8k]"], "gsm8k_small"),
    ],
)
def test_what_cannot_be_judged_is_refused(words: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert main([*SMALL, *words, f"hydra.run.dir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
