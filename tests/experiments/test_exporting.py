"""The end of a run: files, verdict and reasons, for runs with and without a candidate."""

from pathlib import Path

import pytest

from evaluators.gates import Verdict
from experiments.exporting import finish
from experiments.measurement import Measurement
from experiments.results import Claim, Results, load_results, load_summary
from experiments.settings import Job, Run
from experiments.vetting import Ledger

HOLDS, FAILS, TOLD = (Claim("a", "1", "> 0", "exact", holds) for holds in (True, False, None))


def asked(out: Path) -> Job:
    (out / "config.yaml").write_text("horizon: 2\n")
    return Job(Run(), out, {}, {"world": "small", "experiment": "vet"}, {})


def ledger(*rules: str) -> Ledger:
    """Curves of one policy under each rule, or one number of speed without any."""
    results = Results()
    results.add(Measurement(section="speed", measure="cpu_seconds", value=1.0))
    for rule in rules:
        key = {"section": "simulation", "world": "small", "policy": "linucb", "rule": rule, "t": [1, 2]}
        for measure, task in (("regret", ""), ("deployed", "short")):
            curve = {"value": [0.1, 0.2], "lo": [0.0, 0.1], "hi": [0.2, 0.3]}
            results.extend(key | curve | {"measure": measure, "task": task})
    if rules:
        results.add(Measurement(section="simulation", measure="oracle", world="small", task="short", value=0.4))
    return Ledger(results, [HOLDS, FAILS, TOLD])


def files_of(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_a_run_without_a_gate_is_measured_and_its_claims_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = finish(asked(tmp_path), ledger(), verdict=None, files=[], timings={"time": 1.23456}, notes=("A note.",))
    assert files_of(tmp_path) == set(summary.files) == {"config.yaml", "results.parquet", "report.html", "summary.json"}
    assert summary == load_summary(tmp_path)
    assert (summary.experiment, summary.verdict) == ("vet", "measured")
    assert summary.reasons == ("1 of 2 claims with a threshold hold; this experiment has no candidate",)
    assert summary.notes == ("Choices: experiment=vet world=small", "A note.")
    assert summary.timings == {"time": 1.235}
    assert summary.claims == (HOLDS, FAILS, TOLD)
    out = capsys.readouterr().out
    assert "Verdict: measured" in out and "report.html" in out
    assert len(load_results(tmp_path)) == 1


def test_a_verdict_stands_with_its_candidate_and_files_are_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/selection.parquet").write_bytes(b"")
    verdict = Verdict("refused", "thompson", ("too noisy", "too few rows"), None)
    summary = finish(asked(tmp_path), ledger(), verdict=verdict, files=["log/selection.parquet"], timings={})
    assert (summary.verdict, summary.reasons) == ("refused", ("thompson: too noisy", "thompson: too few rows"))
    assert list(summary.files) == sorted(files_of(tmp_path))


def test_a_verdict_without_a_candidate_keeps_its_reasons(tmp_path: Path) -> None:
    verdict = Verdict("no_change", "", ("every candidate equals the baseline",), None)
    summary = finish(asked(tmp_path), ledger(), verdict=verdict, files=[], timings={})
    assert summary.reasons == verdict.reasons


def test_every_rule_with_curves_has_its_figure_twice(tmp_path: Path) -> None:
    summary = finish(asked(tmp_path), ledger("improve", "two_sample"), verdict=None, files=[], timings={})
    figures = {f"figures/convergence_{rule}.{kind}" for rule in ("improve", "two_sample") for kind in ("svg", "png")}
    assert figures == {file for file in files_of(tmp_path) if file.startswith("figures/")}
    assert figures <= set(summary.files)


def test_a_run_that_measured_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 measurements to write"):
        finish(asked(tmp_path), Ledger(Results(), []), verdict=None, files=[], timings={})
