"""The end of a run: its folder, its report, and the table in the terminal."""

from collections.abc import Mapping, Sequence

from evaluators.gates import Verdict
from experiments.figures import convergence_figure, save_figure
from experiments.report import write_report
from experiments.results import Claim, Results, Summary, installed_versions, load_results, write_summary
from experiments.settings import Job
from experiments.terminal import print_claims

__all__ = ["finish"]

VERSIONS = ("guardband", "numpy", "scipy", "jax", "gymnasium", "pandas", "hydra-core")


def finish(
    job: Job,
    results: Results,
    found: Sequence[Claim],
    *,
    verdict: Verdict | None,
    files: Sequence[str],
    timings: Mapping[str, float],
) -> Summary:
    """Write results, figures, summary and report; print the claims and the verdict.

    Args:
        job: the run.
        results: its measurements.
        found: its claims.
        verdict: the gate's, None where the experiment has no gate.
        files: written so far, relative to the run's folder.
        timings: wall seconds by stage.
    """
    results.write(job.out)
    made = [*files, "config.yaml", "results.parquet", "report.html", "summary.json", *_figures(job)]
    answer, reasons = (verdict.answer, verdict.reasons) if verdict else ("measured", (_tally(found),))
    summary = Summary(
        experiment=job.choices.get("experiment", ""),
        verdict=answer,
        reasons=tuple(reasons),
        claims=tuple(found),
        files=tuple(sorted(made)),
        versions=installed_versions(VERSIONS),
        timings={name: round(seconds, 3) for name, seconds in timings.items()},
    )
    write_summary(job.out, summary)
    report = write_report(job.out)
    print_claims(summary, report=report)
    return summary


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
