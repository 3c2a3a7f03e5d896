"""The command on somebody's log, from every format, to the folder that every experiment writes."""

import json
from pathlib import Path

import pytest

from evaluators.log import write_log
from experiments.results import load_results, load_summary
from experiments.run import main
from policies.bundle import write_candidate
from policies.frozen import freeze_policy
from tests.examples import LEARNERS, release, run_policy, small_world
from tests.other_logs import TRUTH, columns, draw, line, open_bandit_columns, write_lines, write_table

DRAWN = draw(1_000, seed=2)
WHOLE = ("experiment.columns.behavior=b_*", "experiment.columns.id=id", "experiment.reward_range=[0,1]")
FILES = ("config.yaml", "rejected.csv", "report.html", "results.parquet", "summary.json")


def judge(file: Path, out: Path, *words: str) -> int:
    return main(["experiment=evaluate_log", f"data={file}", f"hydra.run.dir={out}", *words])


@pytest.mark.slow
def test_a_table_is_judged_and_the_folder_is_the_usual_one(tmp_path: Path) -> None:
    file = write_table(tmp_path / "a.csv", columns(DRAWN))
    assert judge(file, tmp_path / "out", "experiment.target=t_*", "experiment.columns.context=[x0,x1]", *WHOLE) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    summary, table = load_summary(tmp_path / "out"), load_results(tmp_path / "out")
    assert set(FILES) == set(summary.files)
    found = table[(table["measure"] == "value") & (table["estimator"] == "doubly_robust")].iloc[0]
    assert abs(found["value"] - TRUTH) <= 4 * found["stderr"]
    assert found["lo"] < found["value"] < found["hi"]
    assert found["n"] == 1_000


@pytest.mark.slow
def test_our_own_log_judges_a_bundle(tmp_path: Path) -> None:
    run = run_policy(LEARNERS["thompson shared"], n_rounds=80)
    write_log(tmp_path / "log.parquet", run_policy(LEARNERS["uniform"], n_rounds=300).log)
    policy = freeze_policy(small_world(), run.bounded, state=run.state.inner)
    write_candidate(tmp_path / "bundle", policy, release())
    assert judge(tmp_path / "log.parquet", tmp_path / "out", f"experiment.target={tmp_path / 'bundle'}") == 0
    table = load_results(tmp_path / "out")
    assert set(table["policy"]) == {"bundle bundle", ""}
    assert {"long", "short", ""} == set(table["task"])
    assert {"ips", "snips", "direct", "doubly_robust", "logger", ""} == set(table["estimator"])


@pytest.mark.slow
def test_lines_and_items_are_judged_by_a_policy_of_the_group(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.json", [line(DRAWN, i) for i in range(1_000)])
    items = write_table(tmp_path / "b.csv", open_bandit_columns(DRAWN))
    for file, out, policy in ((lines, "one", "uniform"), (items, "two", "fixed")):
        words = ("experiment.target=policy", f"policy={policy}", "experiment.incumbent='2'")
        assert judge(file, tmp_path / out, *words) == 0
        assert policy in set(load_results(tmp_path / out)["policy"])
    notes = json.loads((tmp_path / "two" / "summary.json").read_text())["notes"]
    assert any("read as open_bandit" in note for note in notes)


def test_too_many_unusable_rows_are_refused_with_their_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = columns(DRAWN)
    table["propensity"][:11] = [0.0] * 11
    assert judge(write_table(tmp_path / "a.csv", table), tmp_path / "out", "experiment.target=target_logged") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "11 of 1,000 rows (1.10%) cannot be used, need at most 1.00%: 11 propensity_outside" in said
    assert len((tmp_path / "out" / "rejected.csv").read_text().splitlines()) == 12
    assert not (tmp_path / "out" / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "data: got ''"),
        (("data=none.csv",), "none.csv is not a file"),
        (("experiment.target=t_yew", "data={file}"), "no column 't_yew'"),
        (("experiment.columns.reward=rewrad", "data={file}"), "no column 'rewrad'; did you mean 'reward'"),
        (("experiment.reward_range=[1,0]", "data={file}"), "experiment.reward_range: got [1.0, 0.0]"),
        (("reward_model=logistic", "data={file}"), "reward_model: got 'logistic', need ridge: the model of a streamed"),
        (("reward_model.ridge=2", "data={file}"), "reward_model: got Params(ridge=2.0"),
        (("estimator.ips.interval=cut_tt", "data={file}"), "cut_tt"),
        (("experiment.target=policy", "policy=thompson", "data={file}"), "policy: got 'thompson'"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_table(tmp_path / "a.csv", columns(draw(50)))
    given = [word.format(file=file) for word in words]
    assert main(["experiment=evaluate_log", f"hydra.run.dir={tmp_path / 'out'}", *given]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
