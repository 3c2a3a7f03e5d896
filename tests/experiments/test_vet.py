"""The main job from a command line to its folder, at sizes that compile three programs and run in seconds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluators.log import read_log
from experiments import exporting
from experiments.results import load_results, load_summary
from experiments.run import main
from policies.bundle import DIGEST_ONLY, load
from policies.masses import TOTAL
from tests.compiled import HORIZON, SEEDS, SIZES, SMALL, TWO_POLICIES

QUICK = ("experiment.ope_logs=4", "experiment.gate_replications=3")
WORDS = (*SMALL, *TWO_POLICIES, *QUICK)
LEAST = ("experiment.ope_logs=2", "experiment.log_sizes=[100]", "experiment.gate_replications=0")


def go(place: Path, *words: str) -> tuple[int, Path]:
    """Run a command line in this process, into a folder that is told."""
    return main([*words, f"hydra.run.dir={place}"]), place


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one whole run."""
    code, folder = go(tmp_path_factory.mktemp("first"), *WORDS)
    assert code == 0
    return folder


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out figures and report, which the first run has: they take most of a small run's time."""
    monkeypatch.setattr(exporting, "_figures", lambda _: [])
    monkeypatch.setattr(exporting, "write_report", lambda out: out / "report.html")
    yield


def files_of(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_the_folder_holds_every_file_and_the_summary_lists_them(first: Path) -> None:
    files, summary = files_of(first), load_summary(first)
    assert files == set(summary.files)
    assert {"config.yaml", "results.parquet", "summary.json", "report.html"} <= files
    for rule in ("improve", "two_sample"):
        assert {f"figures/convergence_{rule}.svg", f"figures/convergence_{rule}.png"} <= files
    logs = {file for file in files if file.startswith("log/")}
    assert logs == {
        "log/selection.parquet",
        "log/judgement.parquet",
        "log/learning_uniform_two_sample.parquet",
        "log/learning_thompson_improve.parquet",
        "log/learning_thompson_two_sample.parquet",
    }
    assert summary.verdict == "approved"
    left = {file for file in files if file.startswith("candidate/")}
    assert left == {"candidate/manifest.json", "candidate/policy.json", "candidate/MODEL_CARD.md"}


def test_the_results_have_every_section_and_what_the_report_needs(first: Path) -> None:
    table = load_results(first)
    assert set(table["section"]) == {"world", "simulation", "convergence", "ope", "gate", "propensity"}
    measured = {tuple(pair) for pair in table[["section", "measure"]].drop_duplicates().to_numpy()}
    assert {
        ("world", "best_context_blind"), ("world", "best_per_context"), ("simulation", "regret"),
        ("simulation", "deployed"), ("simulation", "oracle"), ("convergence", "reached"), ("ope", "bias"),
        ("ope", "coverage"), ("gate", "difference"), ("gate", "lower_bound"), ("propensity", "z_slot"),
    } <= measured  # fmt: skip
    assert set(table["world"]) == {"gsm8k_small"}
    curves = table[table["measure"] == "regret"].groupby(["policy", "rule"])["t"]
    assert set(curves.groups) == {("uniform", "two_sample"), ("thompson", "improve"), ("thompson", "two_sample")}
    assert set(curves.max()) == {HORIZON}
    assert not table["measure"].str.startswith("feedback_").any()  # all of it arrived at once


def test_context_is_worth_something_under_the_hard_limits(first: Path) -> None:
    table = load_results(first).set_index("measure")["value"]
    blind, typed, seeing = (table[f"best_{name}"] for name in ("context_blind", "per_task_type", "per_context"))
    assert blind < typed < seeing
    oracle = load_results(first).query("measure == 'oracle'")["value"]
    assert typed == pytest.approx(oracle.mean())  # two types of equal traffic: the same limits bind both


def test_claims_name_what_was_measured_and_the_thresholds_that_hold(first: Path) -> None:
    claims = {claim.claim: claim for claim in load_summary(first).claims}
    words = " | ".join(claims)
    wanted = """Context matters, thompson (improve) converged by 10, n = 200, n = 2,000, exact value, point-mass,
        Logged propensities, propensity before the mask, traffic split left out, Programs compiled,
        Gate approves on fresh logs of gsm8k_small, Gate refuses on fresh logs of flat_null"""
    for part in wanted.replace("2,000", "2.000").split(","):
        assert part.strip().replace("2.000", "2,000") in words
    planted = [claim for text, claim in claims.items() if "Planted" in text]
    assert [claim.holds for claim in planted] == [True, True]
    assert next(claim for text, claim in claims.items() if "Logged" in text).holds
    assert next(claim for text, claim in claims.items() if "Programs" in text).holds


def test_the_logs_are_those_the_gate_read_and_every_mass_is_whole(first: Path) -> None:
    judgement = read_log(first / "log/judgement.parquet")
    learning = read_log(first / "log/learning_thompson_improve.parquet")
    assert len(judgement) == 2000
    assert len(learning) == 4 * 2 * (HORIZON + 20)  # four seeds, two task types
    for log in (judgement, learning):
        np.testing.assert_array_equal(log.masses.sum(axis=1), TOTAL)
        assert np.isfinite(log.reward).all()
    candidate = load(first / "candidate", trust=DIGEST_ONLY)  # an approved one is let in as it stands
    assert candidate.release.evidence.carries
    assert candidate.release.evidence.n == 2000


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(first: Path, tmp_path: Path) -> None:
    code, again = go(tmp_path / "again", *WORDS)
    assert code == 0
    results = "results.parquet"
    for name in (results, "config.yaml", *(f for f in files_of(first) if f.startswith(("log/", "candidate/")))):
        assert (again / name).read_bytes() == (first / name).read_bytes(), name
    code, other = go(tmp_path / "other", *WORDS, "master_seed=1")
    assert code == 0
    assert (other / results).read_bytes() != (first / results).read_bytes()
    curves = [load_results(folder).query("measure == 'regret'")["value"] for folder in (first, other)]
    assert np.all(curves[0].to_numpy() != curves[1].to_numpy())


@pytest.mark.usefixtures("plain")
def test_a_claim_that_fails_is_an_exit_code_only_under_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A gate that selects nothing approves 0 of 30: 80 % lies outside the exact 95 % interval.
    words = (*WORDS, "gate.select_z=100", "experiment.gate_replications=30")
    code, folder = go(tmp_path / "free", *words)
    assert code == 0
    summary = load_summary(folder)
    assert summary.verdict == "refused"
    assert all("not selected" in reason for reason in summary.reasons)
    assert not (folder / "candidate").exists()
    broken = [claim.claim for claim in summary.claims if claim.holds is False]
    assert [text.split(", where")[0] for text in broken] == ["Gate approves on fresh logs of gsm8k_small"]
    capsys.readouterr()
    code, _ = go(tmp_path / "strict", *words, "strict=true")
    assert code == 1
    assert "claims fail: Gate approves on fresh logs of gsm8k_small" in capsys.readouterr().err


REFUSED = {
    "horizon=0": "horizon: got 0, need an int >= 1",
    "experiment.log_sizes=[5000]": "experiment.log_sizes[0]: got 5000, need an int >= 20 and <= 2000 (rows)",
    "experiment.gate_rows=10": "experiment.gate_rows: got 10, need an int >= 40",
    "experiment.ess_shares=[0.0]": "experiment.ess_shares[0]: got 0.0, need a number > 0.0",
    "experiment.log_sizes=[]": "experiment.log_sizes: got [], need at least one size, each once",
    "experiment.log_sizes=[200,200]": "experiment.log_sizes: got [200, 200], need at least one size, each once",
    "experiment.ess_shares=[0.25,0.25]": "experiment.ess_shares: got [0.25, 0.25], need each share once",
    "estimator=[]": "estimator: got None, need a choice that is not empty",
    "drift=[version_swap]": "drift.version_swap.onset: got 100, need an onset before the horizon, 10 evaluations",
    "world.noise.kind=gaussian": "world: got 'gsm8k_small, whose noise is unbounded', need a declared reward range for "
    "the gate's bound and estimator.doubly_robust.interval = assisted; see world.noise.kind",
    "experiment.null_world.noise.kind=heavy": "experiment.null_world: got 'flat_null, whose noise is unbounded'",
    "experiment.gate_rowz=100": "did you mean 'gate_rows'?",
    "world.reward.cost=-1": "world.reward.cost: got -1",
    "gate.alpha=0": "gate.alpha: got 0.0, need a number > 0.0",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_wrong_number_is_refused_by_name(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = go(tmp_path / "run", *WORDS, *words.split())
    told = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(told) == 1
    assert REFUSED[words] in told[0]


@pytest.mark.usefixtures("plain")
def test_a_drift_within_the_run_moves_what_is_deployed(tmp_path: Path) -> None:
    code, folder = go(tmp_path / "run", *WORDS, *LEAST, "drift=[version_swap]", "drift.version_swap.onset=5")
    assert code == 0
    table = load_results(folder).query("measure == 'deployed' and policy == 'uniform'")
    held = table.set_index(["task", "t"])["value"].unstack("task")
    assert np.all(held.loc[6] < 0.8 * held.loc[5])  # quality falls to 61 % from evaluation 5 (counted from 0) on


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
def test_late_feedback_is_counted_by_policy_and_what_never_came_is_not_in_the_logs(tmp_path: Path) -> None:
    code, folder = go(tmp_path / "run", *WORDS, *LEAST, "feedback=delayed")
    assert code == 0
    table, n_rounds = load_results(folder), 2 * (HORIZON + 20)
    counts = table[table["measure"].str.startswith("feedback_")]
    for policy, rule in (("uniform", "two_sample"), ("thompson", "improve"), ("thompson", "two_sample")):
        mine = counts[(counts["policy"] == policy) & (counts["rule"] == rule)]
        held = mine.set_index("measure")["value"]
        assert held["feedback_delivered"] + held["feedback_missing"] + held["feedback_censored"] == SEEDS * n_rounds
        # 5 % of 1,920 rewards are lost; 4.5 standard errors either way
        assert abs(held["feedback_missing"] / (SEEDS * n_rounds) - 0.05) < 4.5 * np.sqrt(
            0.05 * 0.95 / (SEEDS * n_rounds)
        )
        assert held["feedback_censored"] > 0 and held["feedback_copies"] == 0
        log = read_log(folder / f"log/learning_{policy}_{rule}.parquet", may_lack_feedback=True)
        assert 0.6 < log.is_answered.mean() < 0.97
    assert len(counts) == 12
    judgement = read_log(folder / "log/judgement.parquet")
    assert judgement.is_answered.all()  # logs of frozen policies are whole


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
def test_a_sweep_over_policies_and_worlds_gives_one_folder_each(tmp_path: Path) -> None:
    place = tmp_path / "sweep"
    words = ("--multirun", "policy=thompson,uniform", "world=gsm8k_small,flat_null", f"hydra.sweep.dir={place}")
    assert main([*WORDS, *LEAST, *words]) == 0
    found = {}
    for number in range(4):
        summary, table = load_summary(place / str(number)), load_results(place / str(number))
        found[number] = (table["world"].iloc[0], summary.verdict)
        assert ("convergence" in set(table["section"])) == (number % 2 == 0)  # none where nothing matters
        assert any("Context matters" in claim.claim for claim in summary.claims) == (number % 2 == 0)
    assert [world for world, _ in found.values()] == ["gsm8k_small", "flat_null"] * 2
    assert found[0][1] == "approved"
    assert found[1][1] == "refused"


@pytest.mark.usefixtures("plain")
def test_a_policy_that_learns_nothing_is_held_against_the_control_only(tmp_path: Path) -> None:
    code, folder = go(tmp_path / "run", *WORDS, "policy=uniform")
    assert code == 0
    claims = [claim.claim for claim in load_summary(folder).claims]
    assert not any("Gate approves" in text for text in claims)
    assert any("Gate refuses" in text for text in claims)
    assert "ope" not in set(load_results(folder)["section"])


def recorded(path: Path) -> Path:
    """Two models on 40 problems at four temperatures, two answers each; cooler is better for both."""
    rng = np.random.default_rng(7)
    rows = [
        (model, f"p{problem}", t, int(rng.random() < 0.9 - 0.5 * float(t)))
        for model in ("a", "b")
        for problem in range(40)
        for t in ("0.0", "0.5", "1.0", "1.5")
        for _ in range(2)
    ]
    pd.DataFrame(rows, columns=["model", "problem", "temperature", "score"]).to_csv(path, index=False)
    return path


REPLAY = (
    "world=replay", "~world.where", "world.columns.problem=problem", "world.columns.task_type=[model]",
    *(f"world.columns.{name}=null" for name in ("input_tokens", "output_tokens", "failure")),
)  # fmt: skip


@pytest.mark.slow
def test_recorded_answers_end_with_a_verdict_on_the_other_half_of_the_problems(tmp_path: Path) -> None:
    table = recorded(tmp_path / "answers.csv")
    code, folder = go(
        tmp_path / "run", *REPLAY, f"world.path={table}", *SIZES, *TWO_POLICIES, *QUICK, "~experiment.policies.uniform",
        "constraints.radius.temperature='1.0'",
    )  # fmt: skip
    assert code == 0
    summary, results = load_summary(folder), load_results(folder)
    assert summary.verdict == "approved"  # the true gain is 0.3 and more, and the half has 20 problems
    assert files_of(folder) == set(summary.files)
    names = {claim.claim for claim in summary.claims}
    assert not any("Gate approves" in name or "Context matters" in name for name in names)
    learn, judge = (read_log(folder / f"log/{name}.parquet") for name in ("selection", "judgement"))
    assert not set(learn.cluster) & set(judge.cluster)
    assert len(set(learn.cluster) | set(judge.cluster)) == 40
    assert set(results["world"]) == {"replay/judge", "replay/learn"}
    gain = results.query("measure == 'difference'")
    assert (gain["value"] > 0).all() and (gain["stderr"] > 0).all()
    assert any("40" in note for note in summary.notes)
    assert len(results.query("section == 'ope'")) > 0
