"""The end of a run: its logs and candidate, its results and report, and the table in the terminal."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evaluators.gates import Verdict
from evaluators.log import write_log
from experiments.candidates import evidence_of, leave_candidate
from experiments.convergence import PolicyRun
from experiments.figures import convergence_figure, save_figure
from experiments.frozen import start_state
from experiments.gating import Gate, GateRun
from experiments.logs import Identity, log_of_rows, log_of_run
from experiments.provenance import VERSIONS
from experiments.report import write_report
from experiments.results import Claim, Summary, installed_versions, load_results, write_summary
from experiments.settings import Job
from experiments.terminal import print_claims
from experiments.vetting import Bench, Ledger
from policies.digest import policy_digest

__all__ = ["Conclusion", "finish", "write_evidence"]

LOGGED_SEEDS = 4  # of every learning run


class Conclusion(NamedTuple):
    """How a run ended that has no gate of its own, and why."""

    answer: str
    reasons: tuple[str, ...]


def finish(
    job: Job,
    ledger: Ledger,
    *,
    verdict: Verdict | Conclusion | None,
    files: Sequence[str],
    timings: Mapping[str, float],
    notes: Sequence[str] = (),
) -> Summary:
    """Write results, figures, summary and report; print the claims and the verdict.

    Args:
        job: the run.
        ledger: its measurements and claims.
        verdict: the gate's, or another conclusion; None where the experiment only measures.
        files: written so far, relative to the run's folder.
        timings: wall seconds by stage.
        notes: what a reader must know of the world.
    """
    ledger.results.write(job.out)
    made = [*files, "config.yaml", "results.parquet", "report.html", "summary.json", *_figures(job)]
    answer, reasons = ("measured", (_tally(ledger.claims),)) if verdict is None else (verdict.answer, verdict.reasons)
    if isinstance(verdict, Verdict) and verdict.candidate:
        reasons = tuple(f"{verdict.candidate}: {reason}" for reason in reasons)
    summary = Summary(
        experiment=job.choices.get("experiment", ""),
        verdict=answer,
        reasons=tuple(reasons),
        claims=tuple(ledger.claims),
        files=tuple(sorted(made)),
        versions=installed_versions(VERSIONS),
        timings={name: round(seconds, 3) for name, seconds in timings.items()},
        notes=(_choices(job), *notes),
    )
    write_summary(job.out, summary)
    report = write_report(job.out)
    print_claims(summary, report=report)
    return summary


def write_evidence(
    job: Job, bench: Bench, gate: Gate, *, decided: GateRun, runs: Sequence[PolicyRun], claims: Sequence[Claim]
) -> list[str]:
    """Write the logs, and the candidate that was judged.

    `log/` holds the selection and the judgement log and the first seeds of every learning run.

    Returns:
        The files written, relative to the run's folder.
    """
    folder, master = job.out / "log", job.run.master_seed
    folder.mkdir(exist_ok=True)
    made = []
    for name, here, rows in (
        ("selection", gate.learn, decided.selection_log),
        ("judgement", gate.judge, decided.judgement_log),
    ):
        who = Identity(name, here.digest, master)
        write_log(folder / f"{name}.parquet", log_of_rows(here.scenario, rows, here.behavior, who))
        made.append(f"log/{name}.parquet")
    for run in runs:
        name = f"learning_{run.bounded.name}_{run.rule}"
        seeds = range(min(LOGGED_SEEDS, len(run.centre)))
        digest = policy_digest(run.bounded.settings, state=start_state(run.bounded), spec=run.bounded.spec)
        log = log_of_run(bench.worlds.learn, run, seeds=seeds, who=Identity(name, digest, master))
        write_log(folder / f"{name}.parquet", log)
        made.append(f"log/{name}.parquet")
    if decided.judged is not None:
        evidence = evidence_of(job.out, gate, decided=decided, claims=claims, master_seed=master)
        made += leave_candidate(job.out, gate, decided=decided, evidence=evidence)
    return made


def _choices(job: Job) -> str:
    """The choice of every group, as typed on a command line."""
    return "Choices: " + " ".join(f"{group}={name}" for group, name in sorted(job.choices.items()))


def _tally(found: Sequence[Claim]) -> str:
    required = [claim.holds for claim in found if claim.holds is not None]
    return f"{sum(required)} of {len(required)} claims with a threshold hold; this experiment has no candidate"


def _figures(job: Job) -> list[str]:
    """One figure per approval rule that has regret curves."""
    table = load_results(job.out)
    curves = table[(table["section"] == "simulation") & (table["measure"] == "regret")]
    made = []
    for rule in sorted(curves["rule"].unique()):
        saved = save_figure(convergence_figure(table, rule=rule), job.out / "figures", f"convergence_{rule}")
        made += [f"figures/{file.name}" for file in saved]
    return made
