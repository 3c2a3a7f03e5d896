"""Speed as a command: every policy is timed after compilation, and the sum is held against a threshold."""

from pathlib import Path

import pytest

from experiments import benchmark, draws, exporting
from experiments.ope_speed import Speed
from experiments.recommending import Cost
from experiments.results import load_results, load_summary
from experiments.run import main
from tests.compiled import small

WORDS = (
    "experiment=benchmark", *small("world"), "policy=fixed", "horizon=20", "seeds=8", "experiment.repeats=2",
    "experiment.served=[fixed,thompson]", "experiment.flagship=thompson", "experiment.decisions=40",
    "experiment.evaluated=[2000,5]",
    *(f"~experiment.policies.{name}" for name in ("uniform", "epsilon_greedy", "thompson", "linucb")),
)  # fmt: skip

OPE = ("off-policy evaluation, logged propensities", "off-policy evaluation, whole logger")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one benchmark of one policy."""
    place = tmp_path_factory.mktemp("benchmark")
    assert main([*WORDS, "experiment.world_seeds=[128,256]", f"hydra.run.dir={place}"]) == 0
    return place


def test_cpu_time_and_compilation_are_told_by_policy(folder: Path) -> None:
    table = load_results(folder)
    assert set(table["section"]) == {"speed"}
    assert set(table["policy"]) == {"fixed", "thompson", "world alone", *OPE}
    value = table[table["n"].isna()].set_index("measure")["value"]
    assert value["outcomes_per_cpu_second"] > 0 and value["memory_growth_mib"] >= 0
    each = value["cpu_seconds"] / (8 * 20) * 1e6
    assert value["cpu_microseconds_per_evaluation"] == pytest.approx(each)
    assert 0 < value["cpu_seconds"] < value["compile_cpu_seconds"]
    assert value["programs_compiled"] >= 1


def test_the_folder_is_whole_and_has_no_candidate(folder: Path) -> None:
    summary = load_summary(folder)
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == set(summary.files) == {"config.yaml", "results.parquet", "report.html", "summary.json"}
    assert summary.verdict == "measured"
    claim, fast, double, memory, helped, served, flagship, *evaluated = summary.claims
    assert [one.required for one in evaluated] == ["reported"] * 4  # not a million rows
    assert [c.required for c in (served, flagship)] == ["p99 < 1 ms of CPU", "p99 < 5 ms of CPU"]
    assert served.interval == "40 decisions, 225 slots, fastest repeat"
    assert [c.required for c in (fast, double, memory)] == [">= 1.5 M", "reported", "<= 16 MiB"]
    assert memory.claim == "World alone: largest memory with 256 seeds over that with 128"
    assert (helped.claim, helped.required) == ("--help", "< 1 CPU s")
    assert claim.claim == "1 policies x 8 seeds x 20 evaluations, after compilation"
    assert (claim.required, claim.holds) == ("< 10 CPU s", True)


def test_the_claim_fails_when_a_policy_is_slow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_timed", lambda *_, **__: (1.0, 10.0, 1))
    monkeypatch.setattr(benchmark, "_help_seconds", lambda _: 1.0)
    monkeypatch.setattr(benchmark, "_costs", lambda params, _: [Cost("fixed", 0.5, 1.0, params.decisions, 225)])
    monkeypatch.setattr(draws, "speed", lambda *_, **__: draws.Speed(1.4e6, 17.0, (128, 256)))
    monkeypatch.setattr(benchmark, "_evaluation", lambda _: [Speed(10**6, 50, False, 0.4, 200.0)])
    monkeypatch.setattr(exporting, "write_report", lambda out: out)
    words = [*WORDS, "experiment.served=[fixed]", f"hydra.run.dir={tmp_path}"]
    assert main(words) == 0
    claim, fast, double, memory, helped, served, evaluated, beyond = load_summary(tmp_path).claims
    assert (evaluated.holds, beyond.holds) == (False, False)
    assert served.holds is False
    assert (claim.measured, claim.holds) == ("10.0 CPU s", False)
    assert (fast.measured, fast.holds, double.holds) == ("1.40 M", False, None)
    assert (memory.measured, memory.holds) == ("+17.0 MiB", False)
    assert (helped.measured, helped.holds) == ("1.00 CPU s", False)
    assert main([*words, "strict=true"]) == 1
    assert "7 of 8 claims fail" in capsys.readouterr().err
