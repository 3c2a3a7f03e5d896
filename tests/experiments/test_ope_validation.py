"""Certification runs the same estimators and the same gate on more logs, and refuses a world without exact truth."""

from pathlib import Path

import pytest

from evaluators.certified import REGIMES
from experiments import exporting
from experiments.certifying import coverage, gate_errors
from experiments.results import load_results, load_summary
from experiments.run import main
from tests.compiled import SMALL

PARTS = ("pool_logs", "bound_logs", "switch_logs", "sequence_runs", "adaptive_logs", "adaptive_context_logs")
WORDS = (
    "experiment=ope_validation", *SMALL, "experiment.ope_logs=5", "experiment.log_sizes=[100,2000]",
    *(f"experiment.laboratory.{part}=0" for part in PARTS), "experiment.matrix_logs=0",
    "experiment.null_replications=3", "experiment.gain_replications=2", "experiment.gate_rows=1000",
)  # fmt: skip


def go(place: Path, *words: str) -> int:
    return main([*WORDS, f"hydra.run.dir={place}", *words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("certified")
    assert go(place) == 0
    return place


def test_estimators_and_gate_are_measured_in_both_worlds(folder: Path) -> None:
    table = load_results(folder)
    assert set(table["section"]) == {"ope", "gate"}
    ope = table.query("section == 'ope'")
    assert set(ope["n"].dropna()) == {100, 2000}
    assert set(ope["estimator"]) == {"", "ips", "snips", "direct", "doubly_robust"}  # "": the target's support
    gate = table.query("section == 'gate'")
    told = dict(
        zip(zip(gate["world"], gate["measure"], strict=True), zip(gate["n"], gate["value"], strict=True), strict=True)
    )
    assert set(told) == {(w, m) for w in ("gsm8k_small", "flat_null") for m in ("approved", "judged")}
    for world, n in (("gsm8k_small", 2), ("flat_null", 3)):
        assert told[world, "approved"][0] == told[world, "judged"][0] == n
        assert told[world, "approved"][1] <= told[world, "judged"][1] <= 1


def test_every_claim_names_its_world_and_its_count(folder: Path) -> None:
    summary = load_summary(folder)
    texts = [claim.claim for claim in summary.claims]
    assert texts[0] == "The judged target's expected ESS / n"
    assert [text.split(",")[0] for text in texts[1:5]] == [
        "IPS is unbiased", "DR 95 % interval covers the exact value",
        "IPS is unbiased", "DR 95 % interval covers the exact value",
    ]  # fmt: skip
    assert [text.split(", where")[0] for text in texts[5:]] == [
        "Gate approves on fresh logs of gsm8k_small",
        "Gate refuses on fresh logs of flat_null",
    ]
    approves, refuses = summary.claims[5:]
    assert approves.measured.endswith("of 2") and approves.required == "reported"  # too few
    assert refuses.measured.endswith("of 3") and refuses.required == "reported"
    assert summary.verdict == "measured"


def test_the_same_seed_gives_the_same_bytes_whatever_thread_was_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    assert go(tmp_path) == 0
    assert (tmp_path / "results.parquet").read_bytes() == (folder / "results.parquet").read_bytes()


def test_nothing_is_claimed_of_what_was_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    assert go(tmp_path, "experiment.null_replications=0", "experiment.gain_replications=0") == 0
    told = {claim.claim: claim for claim in load_summary(tmp_path).claims if "Gate" in claim.claim}
    assert {(claim.measured, claim.holds) for claim in told.values()} == {("not run", None)}


def test_the_control_promises_no_improvement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    assert go(tmp_path, "world=flat_null") == 0
    texts = [claim.claim for claim in load_summary(tmp_path).claims if "Gate" in claim.claim]
    assert texts == ["Gate refuses on fresh logs of flat_null, where nothing can be gained (exact)"]


def test_a_policy_that_learns_nothing_promises_no_improvement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    assert go(tmp_path, "policy=uniform") == 0
    claims = load_summary(tmp_path).claims
    assert [(claim.measured, claim.holds) for claim in claims] == [("not run", None), ("3 of 3", None)]


def test_a_recorded_world_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "answers.csv"
    lines = [f"a,p{i},{t},{i % 2}" for i in range(8) for t in ("0.5", "1.0")]
    table.write_text("\n".join(["model,problem_id,temperature,score", *lines]) + "\n")
    words = (
        "experiment=ope_validation", "world=replay", f"world.path={table}", "~world.where",
        "world.columns.task_type=[model]",
        *(f"world.columns.{name}=null" for name in ("input_tokens", "output_tokens", "failure")),
    )  # fmt: skip
    assert main([*words, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert "world = 'replay' has no exact truth, need a simulated world" in capsys.readouterr().err


FREE = ("world.noise.kind=gaussian", "experiment.ope_logs=4", "experiment.log_sizes=[200]")


def test_rewards_without_a_range_are_refused_at_once_where_a_bound_needs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(tmp_path / "refused", *FREE) == 2
    told = capsys.readouterr().err
    assert "need a declared reward range for the gate's bound and estimator.doubly_robust.interval" in told


@pytest.mark.slow
def test_rewards_without_a_range_are_judged_by_estimators_that_need_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    without = ("experiment.null_replications=0", "experiment.gain_replications=0")
    assert (
        go(
            tmp_path / "free",
            *FREE,
            *without,
            "estimator.doubly_robust.interval._target_=evaluators.intervals.t.Params",
        )
        == 0
    )
    values = load_results(tmp_path / "free").query("measure == 'rmse'").set_index("estimator")["value"]
    assert set(values.index) == {"ips", "snips", "direct", "doubly_robust"} and values.between(0, 1).all()


@pytest.mark.slow
def test_the_matrix_writes_its_page_and_the_pairs_that_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    few = [f"~experiment.worlds.{name}" for name in ("summarise_short", "hot_rise", "strong_f", "four_types")]
    words = [*few, "~experiment.drifts.decay", "experiment.drifts.version_swap.onset=5", "experiment.matrix_logs=2"]
    off = ["experiment.null_replications=0", "experiment.gain_replications=0", "experiment.ope_logs=2"]
    assert go(tmp_path, *words, *off) == 0
    summary = load_summary(tmp_path)
    assert {"heatmap.html", "certified.json", "figures/heatmap.png"} <= set(summary.files)
    assert all((tmp_path / name).is_file() for name in summary.files if name != "report.html")
    table = load_results(tmp_path)
    matrix = table[table["measure"].str.startswith("matrix_")]
    assert set(matrix["rule"]) == set(REGIMES)
    assert {"gsm8k_small", "flat_null", "base_problem"} <= {name.split()[0] for name in matrix["world"]}
    assert sum("The gate's pair" in claim.claim for claim in summary.claims) == len(REGIMES)


@pytest.mark.slow
def test_all_parts_together_fit_into_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    monkeypatch.setattr(coverage, "HELD_OUT", (1,))
    monkeypatch.setattr(gate_errors, "HELD_OUT", (1,))
    small = {part: 4 for part in PARTS} | {"held_out_logs": 4}
    words = [f"experiment.laboratory.{part}={size}" for part, size in small.items()]
    assert go(tmp_path, *words, "experiment.null_replications=0", "experiment.gain_replications=0") == 0
    measures = set(load_results(tmp_path)["measure"])
    assert {"lower_error", "bound_approves", "switch_approves", "ever_excluded", "sequence_width"} <= measures
    claims = {claim.claim: claim.holds for claim in load_summary(tmp_path).claims}
    judged = [text for text, holds in claims.items() if holds is not None and "exact" not in text]
    assert len(claims) > 30
    assert not any("plain t" in text for text in judged)  # too few logs to judge
