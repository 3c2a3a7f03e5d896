"""The main job: may this policy tune our LLM's generation parameters, and how do we know?

World -> learning runs -> convergence -> off-policy evaluation against the truth -> gate ->
candidate -> report. Every claim it prints names its threshold before the run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from envs.oracle import best_of_contexts, type_values
from envs.randomness import Purpose
from evaluators.gates import Improvement
from experiments import claims
from experiments.compilations import counted
from experiments.convergence import FLAT, PolicyRun, convergence_of, measure_runs
from experiments.exporting import finish, write_evidence
from experiments.frozen import split_traffic
from experiments.gating import Gate, GateRun, decide_gate, exact_gain, possible_gain
from experiments.measurement import Measurement
from experiments.propensities import check_runs, measure_propensities, planted_faults, split_checks
from experiments.results import Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import (
    Bench,
    Ledger,
    build_worlds,
    check_questions,
    check_range,
    gate_of,
    judge_estimators,
    learning_runs,
    n_items,
    notes_of,
    null_gate,
    open_bench,
    point_mass_support,
    policy_set,
    truth_for,
    worlds_asked,
)
from policies.constraints import bounds, legal

__all__ = ["Params", "run"]

SPLIT_SHARE = 0.9  # of traffic that follows the logger in the split that propensities are checked behind


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
        check_range(job, worlds_asked(bench, params.null_world), has_gate=True)
        _world(bench, ledger)
        runs = _learn(bench, params, job, ledger=ledger, progress=progress)
        gate = gate_of(bench, job, ess_shares=params.ess_shares)
        _evaluate(gate, params, job, ledger=ledger, progress=progress)
        _propensities(bench, gate, runs, ledger=ledger)
        decided = _decide(gate, params, ledger)
        _replicate(bench, gate, params, job=job, ledger=ledger, progress=progress)
        found = tuple(ledger.claims)  # of the world and the policies; what follows is about this process
        ledger.claims.append(claims.programs(programs.programs, strict=_shares_programs(bench, params)))
        with progress.stage("write", 1, unit="folder") as advance:
            files = write_evidence(job, bench, gate, decided=decided, runs=runs, claims=found)
            advance(1)
    # A clock's number is never the same twice, and results.parquet is: it stands in the summary.
    timings = progress.timings | {"whole run, CPU": time.process_time() - begin}
    return finish(
        job,
        ledger,
        verdict=decided.verdict,
        files=files,
        timings=timings,
        notes=notes_of(bench),
    )


def _world(bench: Bench, ledger: Ledger) -> None:
    """The best any policy could do under the hard limits, with and without the context."""
    world = bench.worlds.judge
    people, table, weight = world.population, world.table(), world.weights()
    allowed = legal(world.lattice, bounds(world.lattice, bench.constraints, recorded=world.recorded))
    reach = np.where(allowed[people.task], table, -np.inf)
    typed = [np.where(allowed[k], v, -np.inf).max() for k, v in enumerate(type_values(world, table=table))]
    found = {
        "best_per_context_all_actions": float(weight @ best_of_contexts(world).value),
        "best_per_task_type": float(people.mix @ np.array(typed)),
        "best_per_context": float(weight @ reach.max(axis=1)),
    }
    for_all = allowed.all(axis=0)
    if for_all.any():
        found["best_context_blind"] = float((weight @ table[:, for_all]).max())
    for measure, value in found.items():
        ledger.results.add(Measurement(section="world", measure=measure, world=world.name, value=value))
    spread = reach.max(axis=1) - np.where(allowed[people.task], table, np.inf).min(axis=1)
    if world.is_exact and spread.max() > FLAT:
        seeing, blind = found["best_per_context"], found["best_context_blind"]
        ledger.claims.append(claims.context_matters(seeing, blind, strict=len(people.names) > 1))


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
    for one in shown if np.any(truth.best - truth.worst > FLAT) else ():
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
    faults = planted_faults(uniform) if uniform is not None and world.is_exact else {}
    here = gate.learn
    split = split_traffic(here.logger, here.behavior, world, share=SPLIT_SHARE)
    true, false = split_checks(world, here.behavior, split, master_seed=gate.master_seed)
    ledger.claims.append(claims.split_logged(true))
    for name, said in (faults | {"traffic split left out": false}).items():
        ledger.claims.append(claims.planted(name, said))


def _decide(gate: Gate, params: Params, ledger: Ledger) -> GateRun:
    """The one pass through the gate that decides; where the truth is known, it stands beside the estimate."""
    decided = decide_gate(gate, n=params.gate_rows, purposes=(Purpose.LOG, Purpose.JUDGE), seed=0)
    said = {f"{name}, selection log": found for name, found in decided.selection.improvements.items()}
    if decided.verdict.improvement is not None:
        said[f"{decided.verdict.candidate}, judgement log"] = decided.verdict.improvement
    world = gate.judge.scenario
    for name, found in said.items():
        for measure, value in _figures(found).items():
            error = found.stderr if measure == "difference" else None
            row = Measurement(section="gate", measure=measure, world=world.name, policy=name, value=value, stderr=error)
            ledger.results.add(row)
    if decided.judged is not None and world.is_exact:
        gain, name = exact_gain(gate, decided.judged), f"{decided.judged.name}, judgement log"
        ledger.results.add(
            Measurement(section="gate", measure="true_difference", world=world.name, policy=name, value=gain)
        )
        ledger.claims.append(claims.true_gain(decided.verdict, gain))
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
    if not bench.worlds.judge.is_exact or not params.gate_replications:
        return
    gates = [gate] if gate.soft is not None or possible_gain(gate) <= 0 else []
    if params.null_world is not None and possible_gain(gate) > 0:
        gates.append(null_gate(bench, params.null_world, job, ess_shares=params.ess_shares))
    if not gates:
        return
    total = params.gate_replications
    with progress.stage("gate on fresh logs", total * len(gates), unit="passes") as advance:
        for each in gates:
            approved = sum(_passes(each, params, seed, advance) for seed in range(total))
            name, gain = each.judge.scenario.name, possible_gain(each)
            if gain > 0:
                ledger.claims.append(claims.approvals(name, approved, total, gain=gain, strict=False))
            else:
                ledger.claims.append(claims.refusals(name, total - approved, total))


def _shares_programs(bench: Bench, params: Params) -> bool:
    """Whether the control world is a change of numbers only, so that its gate compiles nothing."""
    if params.null_world is None:
        return True
    return build_worlds(params.null_world, bench.drift).learn.world is bench.worlds.learn.world


def _passes(gate: Gate, params: Params, seed: int, advance: Callable[[int], None]) -> bool:
    """Whether one replication of the gate approves."""
    passed = decide_gate(gate, n=params.gate_rows, purposes=(Purpose.NULL, Purpose.CERTIFY), seed=seed)
    advance(1)
    return passed.verdict.answer == "approved"
