"""Calibration as a command: known truth comes back, the preset it writes runs, refusals name their setting."""

import pytest
import yaml

from envs.surfaces import llm_outcome
from experiments.results import load_results, load_summary
from experiments.run import main
from experiments.settings import build
from tests import answers

NAMED = "experiment.columns={" + ", ".join(f"{part}: {name}" for part, name in answers.COLUMNS.items()) + "}"
QUICK = (
    "experiment=benchmark", "policy=fixed", "horizon=10", "seeds=4", "experiment.repeats=1",
    "experiment.served=[fixed]", "experiment.flagship=fixed",
    *(f"~experiment.policies.{name}" for name in ("uniform", "epsilon_greedy", "thompson", "linucb")),
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return answers.write(tmp_path_factory.mktemp("data") / "a.csv", answers.table())


@pytest.fixture(scope="module")
def folder(file, tmp_path_factory):
    place = tmp_path_factory.mktemp("calibrate")
    words = ["experiment=calibrate", f"data={file}", "experiment.name=mine", NAMED, f"hydra.run.dir={place}"]
    assert main(words) == 0
    return place


def test_the_preset_has_the_numbers_the_answers_were_drawn_with(folder):
    params = build(yaml.safe_load((folder / "configs/world/mine.yaml").read_text()), "world")
    assert isinstance(params, llm_outcome.Params)
    (kind,) = params.task_types
    table = load_results(folder).set_index(["measure", "estimator"])
    truth = {"q0": answers.Q0, "cliff": answers.CLIFF, "failure_floor": answers.FLOOR, "failure_centre": answers.CENTRE}
    for name, true in truth.items():
        assert abs(getattr(kind, name) - true) <= 4 * float(table["stderr"][(name, "fitted")])
    assert sorted((kind.length_median_1, kind.length_median_2)) == pytest.approx(answers.MEDIANS, rel=0.1)
    assert kind.between == pytest.approx(answers.BETWEEN, abs=0.08)
    assert params.service.token_ms == pytest.approx(answers.TOKEN_MS, rel=0.03)
    assert (params.noise.kind, params.noise.checks) == ("binomial", 1)
    assert {point.measure for point in params.published} == {"quality", "failure", "truncated"}


def test_the_folder_is_whole_and_its_claims_hold(folder):
    summary = load_summary(folder)
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    figures = {f"figures/calibration_{n}.{end}" for n in ("quality", "failure", "lengths") for end in ("svg", "png")}
    made = {"config.yaml", "results.parquet", "report.html", "summary.json", "configs/world/mine.yaml"}
    assert files == set(summary.files) == made | figures
    required = [claim for claim in summary.claims if claim.holds is not None]
    assert len(required) == 6
    assert all(claim.holds for claim in required)
    assert any("a.csv (sha256" in note for note in summary.notes)
    assert any("quality = score" in note for note in summary.notes)


def test_the_preset_runs(folder, tmp_path):
    words = ["--config-dir", str(folder / "configs"), "world=mine", *QUICK, f"hydra.run.dir={tmp_path}"]
    assert main(words) == 0
    assert "fixed" in set(load_results(tmp_path)["policy"])


def test_the_same_table_gives_the_same_preset(folder, file, tmp_path):
    words = ["experiment=calibrate", f"data={file}", "experiment.name=mine", NAMED, f"hydra.run.dir={tmp_path}"]
    assert main(words) == 0
    made = "configs/world/mine.yaml"
    assert (tmp_path / made).read_bytes() == (folder / made).read_bytes()


def test_few_problems_are_reported_not_judged(tmp_path):
    path = answers.write(tmp_path / "few.csv", answers.table(n_problems=16, heats=(0.0, 0.5, 1.0)))
    words = ["experiment=calibrate", f"data={path}", NAMED, f"hydra.run.dir={tmp_path / 'run'}", "strict=true"]
    assert main(words) == 0
    summary = load_summary(tmp_path / "run")
    assert [claim.holds for claim in summary.claims if claim.holds is not None] == [True]  # the preset, read back
    assert (tmp_path / "run/configs/world/calibrated.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "error: data: got '', need a table of outcomes or a decision log: data=FILE"),
        (("data=none.csv",), "error: data: got 'none.csv', need a file that exists"),
        (("data={file}",), "error: experiment.columns: got [], need columns to fit"),
        (("data={file}", NAMED, "experiment.columns.quality=skore"), "did you mean 'score'"),
        (("data={file}", NAMED, "experiment.name=gsm8k_small"), "need a name that no world of the project has"),
        (("data={file}", NAMED, "experiment.name=../x"), "error: experiment.name: got '../x', need lower-case letters"),
        (("data={file}", NAMED, "experiment.token_unit=0"), "error: experiment.token_unit: got 0"),
        (("data={file}", NAMED, "experiment.where={T: 9}"), "error: experiment.where.T: got '9', need one of 0.0, 0.1"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name(words, message, file, tmp_path, capsys):
    given = [word.replace("{file}", str(file)) for word in words]
    assert main(["experiment=calibrate", *given, f"hydra.run.dir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
