"""Certification of the numbers a verdict rests on: estimators, intervals and the gate, against known truth.

More logs than a vetting run spends: coverage over thousands of logs, the gate over a
thousand replications on the control where nothing can improve, and on a world where
something can; then the laboratory's own problems (`certifying/laboratory.py`).
"""

from dataclasses import dataclass, field, replace

from envs import presets
from envs.drift import Params as DriftParams
from envs.drift import check_onsets
from envs.randomness import Purpose
from evaluators.certified import FILE
from experiments import claims
from experiments.certifying.heatmap import write_heatmap
from experiments.certifying.laboratory import Parts, certify
from experiments.certifying.matrix import (
    Place,
    claims_of,
    measure_matrix,
    measurements_of,
    n_cases,
    write_held,
)
from experiments.certifying.pool import open_pool
from experiments.exporting import finish
from experiments.gating import Gate, decide_gate, possible_gain
from experiments.measurement import Measurement
from experiments.results import Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import (
    Bench,
    Ledger,
    check_questions,
    check_range,
    gate_of,
    judge_estimators,
    null_gate,
    open_bench,
    workers,
    worlds_asked,
)

__all__ = ["Params", "run"]

SHARES = {
    200: 5.0,
    1000: 2.0,
    5000: 0.5,
}  # rows: logs, times `matrix_logs`; short logs are cheap, and errors of 8 % must show


@dataclass(frozen=True)
class Params:
    """How many logs and replications."""

    null_world: object = None
    log_sizes: tuple[int, ...] = field(default=(200, 2000), metadata={"ge": 20, "le": 2000, "unit": "rows"})
    ope_logs: int = field(default=4000, metadata={"ge": 2, "le": 10**6, "unit": "logs per size"})
    gate_rows: int = field(default=2000, metadata={"ge": 40, "le": 2000, "unit": "rows of each log"})
    null_replications: int = field(default=1000, metadata={"ge": 0, "le": 10**6})
    gain_replications: int = field(default=400, metadata={"ge": 0, "le": 10**6})
    ess_shares: tuple[float, ...] = field(default=(0.25,), metadata={"gt": 0.0, "le": 1.0, "unit": "ESS / n"})
    laboratory: Parts = field(default_factory=Parts)
    matrix_logs: int = field(
        default=400,
        metadata={"ge": 0, "le": 10**5, "unit": "logs a cell; 5, 2, 0.5 times as many of 200, 1,000, 5,000 rows"},
    )
    worlds: dict[str, object] = field(default_factory=dict)
    drifts: dict[str, DriftParams] = field(default_factory=dict)


def run(job: Job) -> Summary:
    """Judge estimators on many logs and the gate on many pairs of logs.

    Raises:
        ConfigError: a group is missing or of another kind, or a drift of the matrix begins after the run.
        ValueError: the world refuses its numbers, or its truth is not exact.
    """
    params, ledger = job.pick("experiment", Params), Ledger(Results(), [])
    check_questions(job, params)
    check_onsets(params.drifts if params.matrix_logs else {}, horizon=job.run.horizon)
    bench = open_bench(job)
    if not bench.worlds.judge.is_exact:
        raise ValueError(
            f"world = {job.choices['world']!r} has no exact truth, need a simulated world to validate against"
        )
    worlds = worlds_asked(bench, params.null_world if params.null_replications else None)
    check_range(job, worlds, has_gate=params.null_replications + params.gain_replications > 0)
    gate = gate_of(bench, job, ess_shares=params.ess_shares)
    with Progress() as progress:
        for judged in judge_estimators(gate, params, job, ledger=ledger, progress=progress):
            ledger.claims.extend(claims.ips_unbiased(one) for one in judged if one.estimator == "ips")
            ledger.claims.extend(
                claims.dr_coverage(one, strict=True) for one in judged if one.estimator == "doubly_robust"
            )
        null = None
        if params.null_world is not None:
            null = null_gate(bench, params.null_world, job, ess_shares=params.ess_shares)
        _gates(gate, null, params, ledger=ledger, progress=progress)
        rows, more = certify(params.laboratory, seed=job.run.master_seed, progress=progress)
        for row in rows:
            ledger.results.add(row)
        ledger.claims.extend(more)
        files = _matrix(bench, params, job, ledger=ledger, progress=progress) if params.matrix_logs else []
    return finish(job, ledger, verdict=None, files=files, timings=progress.timings)


def _matrix(bench: Bench, params: Params, job: Job, *, ledger: Ledger, progress: Progress) -> list[str]:
    """Every estimator under every interval in every regime; which pairs held is written beside the results."""
    estimators = {name: presets.load("estimator", name) for name in presets.names("estimator")}
    place = Place(params.worlds, params.drifts, {"base_problem": open_pool()})
    shapes = tuple((max(int(params.matrix_logs * share), 2), n) for n, share in SHARES.items())
    with progress.stage("matrix", n_cases(place), unit="cases") as advance:
        matrix = measure_matrix(
            place,
            bench,
            job=replace(job, groups={**job.groups, "estimator": estimators}),
            intervals=job.pick("interval", dict),
            shapes=shapes,
            advance=advance,
        )
    for row in measurements_of(matrix):
        ledger.results.add(row)
    ledger.claims.extend(claims_of(matrix, "gate"))
    written = [*write_heatmap(matrix, job.out), write_held(matrix, job.out / FILE.name)]
    return [file.relative_to(job.out).as_posix() for file in written]


def _gates(gate: Gate, null: Gate | None, params: Params, *, ledger: Ledger, progress: Progress) -> None:
    """The gate where something can improve, and where nothing can.

    The first is left out where the world is a control itself, and not run for a policy that learns
    nothing: nobody promises that it is an improvement.
    """
    gain = possible_gain(gate)
    if gain > 0:
        total, world = (params.gain_replications if gate.soft is not None else 0), gate.judge.scenario.name
        gained = _approved(gate, total, params.gate_rows, ledger=ledger, progress=progress)
        ledger.claims.append(claims.approvals(world, gained, total, gain=gain, strict=True))
    control = null if gain > 0 else gate
    if control is not None:
        total, world = params.null_replications, control.judge.scenario.name
        lost = _approved(control, total, params.gate_rows, ledger=ledger, progress=progress)
        ledger.claims.append(claims.refusals(world, total - lost, total))


def _approved(gate: Gate, total: int, n: int, *, ledger: Ledger, progress: Progress) -> int:
    """Approvals in `total` replications of the whole gate, and how often a candidate reached the judge."""
    if not total:
        return 0
    world = gate.judge.scenario.name
    with progress.stage(f"gate on {world}", total, unit="passes") as advance:

        def one(seed: int) -> tuple[bool, bool]:
            passed = decide_gate(gate, n=n, purposes=(Purpose.NULL, Purpose.CERTIFY), seed=seed)
            advance(1)
            return passed.verdict.answer == "approved", passed.judged is not None

        with workers() as pool:
            said = list(pool.map(one, range(total)))
    for measure, value in (("approved", sum(a for a, _ in said)), ("judged", sum(j for _, j in said))):
        row = Measurement(section="gate", measure=measure, world=world, n=total, value=value / total)
        ledger.results.add(row)
    return sum(approved for approved, _ in said)
