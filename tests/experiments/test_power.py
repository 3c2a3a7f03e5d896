"""The command from a world, and from a pilot log, to its answer; and what it refuses, in words."""

from pathlib import Path

import pytest

from evaluators.log import write_log
from experiments.logs import Identity, log_of_rows
from experiments.results import load_results, load_summary
from experiments.run import main
from tests.compiled import SIZES, log, logger, small, world

WORDS = ("experiment=power", *small("world"), *SIZES, "experiment.difference=0.02", "experiment.floors=[0.2,0.5]")
FEW = ("experiment.logs=20",)
FILES = {"config.yaml", "results.parquet", "report.html", "summary.json", "figures/power.svg", "figures/power.png"}


def go(place: Path, *words: str) -> int:
    return main([*words, f"hydra.run.dir={place}"])


def test_a_world_is_answered_predicted_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(tmp_path, *WORDS, *FEW) == 0
    summary, table = load_summary(tmp_path), load_results(tmp_path)
    assert set(summary.files) >= FILES and all((tmp_path / name).is_file() for name in FILES)
    answer = summary.claims[0].claim
    assert f"Answer:  {answer}." in capsys.readouterr().out
    needed = table[table["measure"] == "needed"].set_index("rule")["value"]
    floor = answer.split()[4]
    assert answer == f"{needed[f'floor_{floor}']:,.0f} decisions with floor {floor} detect +0.02 with power 0.8"
    checked = table[table["measure"] == "measured_power"].set_index("rule")
    assert dict(checked["n"]) == {rule: int(n) for rule, n in needed.items()}
    assert ((checked["lo"] <= checked["value"]) & (checked["value"] <= checked["hi"])).all()
    assert (table["measure"] == "false_approvals").sum() == 1
    curve = table[(table["measure"] == "predicted_power") & (table["rule"] == f"floor_{floor}")].set_index("n")["value"]
    assert set(curve.index) >= {500, 1000, 2000, 5000, 10_000}
    below, above = (curve[curve.index < needed[f"floor_{floor}"]], curve[curve.index > needed[f"floor_{floor}"]])
    assert (below < 0.8).all() and len(above)


def test_a_pilot_is_answered_without_its_world(tmp_path: Path) -> None:
    file = tmp_path / "pilot.parquet"
    write_log(file, log_of_rows(world(), log(), logger(), Identity("pilot", "0" * 32, 0)))
    lo, hi = world().reward_range or (0.0, 0.0)
    words = (*WORDS, *FEW, f"data={file}", f"experiment.reward_range=[{lo},{hi}]")
    assert go(tmp_path / "run", *words) == 0
    summary, table = load_summary(tmp_path / "run"), load_results(tmp_path / "run")
    assert set(summary.files) >= FILES | {"rejected.csv"}
    assert set(table["world"]) == {"pilot"} and "2,000 decisions" in " ".join(summary.notes)
    assert (table[table["measure"] == "loss"]["stderr"] > 0).all()


def test_a_log_that_would_be_too_long_is_said_to_be(tmp_path: Path) -> None:
    assert go(tmp_path, *WORDS, *FEW, "experiment.most=500", "experiment.difference=0.005") == 0
    claims = load_summary(tmp_path).claims
    assert claims[0].claim == "No log up to 500 decisions detects +0.005 with power 0.8"
    assert len(claims) == 1 + 2  # nothing is left to check


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("experiment.difference=2",), "the best policy there is gains no more over the baseline"),
        (("world=flat_null",), "difference = 0.02, need at most"),
        (("experiment.floors=[0.1,0.1]",), "need at least one, each once"),
        (("experiment.log_sizes=[]",), "need at least one, each once"),
        (("world.noise.kind=gaussian",), "need a declared reward range for the gate's bound"),
        (("experiment.floors=[0.0]",), "experiment.floors"),
        (("data=nowhere.parquet",), "rewards without a declared range"),
        (("data=nowhere.parquet", "experiment.reward_range=[0,1]"), "nowhere.parquet is not a file"),
        (("gate.interval._target_=evaluators.intervals.hall.Params", "~gate.interval.large"), "gate.interval is hall"),
        (("gate.interval._target_=evaluators.intervals.t.Params", "~gate.interval.large"), "the gate approves nothing"),
        (("reward_model=forest",), "evaluators.reward_model.Params"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert go(tmp_path, *WORDS, *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert go(tmp_path / name, *WORDS, *FEW, "experiment.logs=5") == 0
    one, two = ((tmp_path / name / "results.parquet").read_bytes() for name in ("one", "two"))
    assert one == two
