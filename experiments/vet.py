"""The main job: may this policy tune our LLM's generation parameters, and how do we know?

World -> learning runs -> convergence -> off-policy evaluation against the truth -> gate ->
bundle -> report. Every claim it prints names its threshold before the run.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from envs.randomness import Purpose
from evaluators.gates import Improvement
from experiments import claims
from experiments.compilations import counted
from experiments.convergence import PolicyRun, convergence_of, measure_runs
from experiments.exporting import finish, write_evidence
from experiments.gating import Gate, GateRun, decide_gate
from experiments.measurement import Measurement
from experiments.ope import weights_of
from experiments.propensities import check_runs, measure_propensities, planted_faults
from experiments.results import Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import (
    Bench,
    Ledger,
    check_questions,
    gate_of,
    judge_estimators,
    learning_runs,
    n_items,
    null_gate,
    open_bench,
    point_mass_support,
    policy_set,
    truth_for,
)
from policies.constraints import bounds, legal

__all__ = ["Params", "run"]

NULL_NAME = "flat_null"


@dataclass(frozen=True)
class Params:
    """Sizes of a vetting run."""

    policies: dict[str, object] = field(default_factory=dict)
    null_world: object = None
    converged_by: tuple[int, ...] = field(default=(50, 100, 200), metadata={"ge": 1, "le": 100_000})
    log_sizes: tuple[int, ...] = field(default=(200, 2000), metadata={"ge": 20, "le": 2000, "unit": "rows"})
    ope_logs: int = field(default=200, metadata={"ge": 2, "le": 10**6, "unit": "logs per size"})
    gate_rows: int = field(default=2000, metadata={"ge": 40, "le": 2000, "unit": "rows of each log"})
    gate_replications: int = field(default=40, metadata={"ge": 0, "le": 10**6})
    ess_shares: tuple[float, ...] = field(default=(0.25,), metadata={"gt": 0.0, "le": 1.0, "unit": "ESS / n"})


def run(job: Job) -> Summary:
    """The whole chain; writes the run's folder and prints the claims.

    Raises:
        ConfigError: a group is missing or of another kind, or nothing is asked of it.
        ValueError: the world, the bounds or the sizes refuse their numbers.
    """
    params, begin = job.pick("experiment", Params), time.process_time()
    ledger = Ledger(Results(), [])
    check_questions(job, params)
    with counted() as programs, Progress() as progress:
        bench = open_bench(job)
        _world(bench, ledger)
        runs = _learn(bench, params, job, ledger=ledger, progress=progress)
        gate = gate_of(bench, job, ess_shares=params.ess_shares)
        _evaluate(gate, params, job, ledger=ledger, progress=progress)
        _propensities(bench, gate, runs, ledger=ledger)
        decided = _decide(gate, params, ledger)
        _replicate(bench, gate, params, job=job, ledger=ledger, progress=progress)
        ledger.claims.append(claims.programs(programs.programs))
        with progress.stage("write", 1, unit="folder") as advance:
            files = write_evidence(job, bench, gate, decided=decided, runs=runs)
            advance(1)
    # A clock's number is never the same twice, and results.parquet is: it stands in the summary.
    timings = progress.timings | {"whole run, CPU": time.process_time() - begin}
    return finish(
        job,
        ledger,
        verdict=decided.verdict,
        files=files,
        timings=timings,
        notes=bench.worlds.judge.notes,
    )


def _world(bench: Bench, ledger: Ledger) -> None:
    """The best any policy could do under the hard limits, with and without the context."""
    world = bench.worlds.judge
    people, table, weight = world.population, world.table(), weights_of(world)
    allowed = legal(world.lattice, bounds(world.lattice, bench.constraints, recorded=world.recorded))
    reach = np.where(allowed[people.task], table, -np.inf)
    typed = [reach[people.task == k].mean(axis=0).max() for k in range(len(people.names))]
    found = {
        "best_per_task_type": float(people.mix @ np.array(typed)),
        "best_per_context": float(weight @ reach.max(axis=1)),
    }
    for_all = allowed.all(axis=0)
    if for_all.any():
        found["best_context_blind"] = float((weight @ table[:, for_all]).max())
    for measure, value in found.items():
        ledger.results.add(Measurement(section="world", measure=measure, world=world.name, value=value))
    if world.is_exact and world.name != NULL_NAME:
        ledger.claims.append(claims.context_matters(found["best_per_context"], found["best_context_blind"]))


def _learn(bench: Bench, params: Params, job: Job, *, ledger: Ledger, progress: Progress) -> list[PolicyRun]:
    """Learning runs of all policies; regret, deployed values, convergence."""
    learners = list(policy_set(bench, params.policies).values())
    with progress.stage("simulate", n_items(learners, job.run.seeds), unit="runs") as advance:
        runs = learning_runs(bench, learners, job, progress=advance)
    world, by = bench.worlds.judge, tuple(n for n in params.converged_by if n <= job.run.horizon) or (job.run.horizon,)
    truth = truth_for(bench, runs, job.run.horizon)
    for row in measure_runs(world, runs, truth, by=by):
        ledger.results.add(row)
    shown = [
        one for one in runs if one.rule == bench.approval.rule or not hasattr(one.bounded.params.inner, "features")
    ]
    for one in shown if world.name != NULL_NAME else ():
        shares = {
            name: convergence_of(one, truth, task=task, span=world.reward_span, by=by)
            for task, name in enumerate(world.population.names)
        }
        ledger.claims.append(claims.converged(one.bounded.name, one.rule, shares))
    return runs


def _evaluate(gate: Gate, params: Params, job: Job, *, ledger: Ledger, progress: Progress) -> None:
    """Every estimator on many logs against the exact value, and the point mass that no log supports."""
    is_exact = gate.judge.scenario.is_exact
    for judged in judge_estimators(gate, params, job, ledger=ledger, progress=progress):
        by_name = {one.estimator: one for one in judged}
        if "ips" in by_name:
            ledger.claims.append(claims.ips_unbiased(by_name["ips"]))
        if "doubly_robust" in by_name:
            ledger.claims.append(claims.dr_coverage(by_name["doubly_robust"], strict=False, is_exact=is_exact))
    if gate.soft is not None:
        support = point_mass_support(gate, params.log_sizes)
        ledger.claims.append(claims.point_mass(support, is_exact=is_exact))


def _propensities(bench: Bench, gate: Gate, runs: list[PolicyRun], *, ledger: Ledger) -> None:
    """Logged propensities against what happened, and the planted faults."""
    world = bench.worlds.learn
    checked = check_runs(world, runs)
    for row in measure_propensities(world.name, checked):
        ledger.results.add(row)
    ledger.claims.append(claims.propensities(checked))
    uniform = next((one for one in runs if one.bounded.name == "uniform"), None)
    if uniform is not None and world.is_exact:
        faults = planted_faults(world, uniform, gate.learn.behavior, master_seed=gate.master_seed)
        ledger.claims.extend([claims.planted(name, said) for name, said in faults.items()])


def _decide(gate: Gate, params: Params, ledger: Ledger) -> GateRun:
    """The one pass through the gate that decides."""
    decided = decide_gate(gate, n=params.gate_rows, purposes=(Purpose.LOG, Purpose.JUDGE), seed=0)
    said = {f"{name}, selection log": found for name, found in decided.selection.improvements.items()}
    if decided.verdict.improvement is not None:
        said[f"{decided.verdict.candidate}, judgement log"] = decided.verdict.improvement
    for name, found in said.items():
        for measure, value in _figures(found).items():
            error = found.stderr if measure == "difference" else None
            world = gate.judge.scenario.name
            row = Measurement(section="gate", measure=measure, world=world, policy=name, value=value, stderr=error)
            ledger.results.add(row)
    return decided


def _figures(found: Improvement) -> dict[str, float]:
    return {
        "difference": found.difference,
        "lower_bound": found.lower,
        "detectable": found.detectable,
        "ess": found.target.ess,
    }


def _replicate(bench: Bench, gate: Gate, params: Params, *, job: Job, ledger: Ledger, progress: Progress) -> None:
    """How often the gate approves on fresh logs of this world, and of the control where nothing matters.

    Nobody promises that a policy which learns nothing is an improvement: it meets the control only.
    """
    world = bench.worlds.judge
    if not world.is_exact or not params.gate_replications:
        return
    gates = {} if world.name == NULL_NAME or gate.soft is None else {world.name: gate}
    if params.null_world is not None:
        gates[NULL_NAME] = null_gate(bench, params.null_world, job, ess_shares=params.ess_shares)
    if not gates:
        return
    with progress.stage("gate on fresh logs", params.gate_replications * len(gates), unit="passes") as advance:
        for name, each in gates.items():
            approved = 0
            for seed in range(params.gate_replications):
                purposes = (Purpose.NULL, Purpose.CERTIFY)
                approved += (
                    decide_gate(each, n=params.gate_rows, purposes=purposes, seed=seed).verdict.answer == "approved"
                )
                advance(1)
            total = params.gate_replications
            if name == NULL_NAME:
                ledger.claims.append(claims.refusals(name, total - approved, total))
            else:
                ledger.claims.append(claims.approvals(name, approved, total, strict=False))
