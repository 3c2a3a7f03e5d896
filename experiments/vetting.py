"""What a vetting run is made of: worlds, the policies compared, and their learning runs."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, NamedTuple

from envs.drift import NEVER
from envs.drift import Params as DriftParams
from envs.world import Scenario
from evaluators.gates import Params as GateParams
from experiments.convergence import PolicyRun, Truth, run_policies, train_plan, truth_of
from experiments.gating import Gate, Side, open_gate, side
from experiments.settings import Job
from experiments.simulate import TRAIN_EXTRA
from policies.approval import Params as ApprovalParams
from policies.build import BoundedPolicy, bounded, learner_module
from policies.constraints import Params as ConstraintParams

__all__ = ["Bench", "Worlds", "build_worlds", "gate_of", "learning_runs", "n_items", "open_bench", "policy_set"]
__all__ += ["sides", "truth_for", "under_bounds"]

WORKERS = 2  # programs that compile and run at once


@dataclass(frozen=True)
class Worlds:
    """Where policies learn and where they are judged: one world, or two halves of recorded problems."""

    learn: Scenario
    judge: Scenario

    @property
    def is_split(self) -> bool:
        """Whether learning and judging happen on different problems."""
        return self.learn is not self.judge


class Bench(NamedTuple):
    """A job's groups, typed."""

    worlds: Worlds
    drift: DriftParams
    constraints: ConstraintParams
    approval: ApprovalParams
    logger: object
    policy: object


def build_worlds(params: object, drift: DriftParams) -> Worlds:
    """The scenario of a world config; a recorded world is split into two halves of its problems.

    Actions missing from either half are infeasible in both.
    """
    module = import_module(type(params).__module__)
    scenario = module.build(params, drift_params=drift)
    if scenario.is_exact:
        return Worlds(scenario, scenario)
    learn, judge = module.split(scenario)
    common = learn.recorded & judge.recorded
    return Worlds(replace(learn, recorded=common), replace(judge, recorded=common))


def open_bench(job: Job) -> Bench:
    """The groups of a job, built and typed.

    Raises:
        ConfigError: a group is missing or of another kind.
        ValueError: the world refuses its numbers or its file.
    """
    drift = job.pick("drift", DriftParams)
    worlds = build_worlds(job.pick("world", object), drift)
    horizon = job.run.horizon
    if drift.onset != NEVER and drift.onset >= horizon:
        raise ValueError(f"drift.onset = {drift.onset} lies after the run, need an onset below horizon = {horizon}")
    return Bench(
        worlds,
        drift,
        job.pick("constraints", ConstraintParams),
        job.pick("approval", ApprovalParams),
        job.pick("logger", object),
        job.pick("policy", object),
    )


def under_bounds(bench: Bench, scenario: Scenario, learner: Any, *, rule: str = "") -> BoundedPolicy:
    """A learner under the bench's bounds; without a belief, the rule is `two_sample`."""
    has_belief = hasattr(learner, "features")
    chosen = (rule or bench.approval.rule) if has_belief else "two_sample"
    return bounded(
        scenario,
        constraints=bench.constraints,
        approval=replace(bench.approval, rule=chosen),
        learner=learner,
    )


def policy_set(bench: Bench, compared: dict[str, object]) -> dict[str, object]:
    """The learners compared: the listed ones, the policy under vetting in place of its namesake."""
    name = learner_module(bench.policy).__name__.rsplit(".", 1)[-1]
    return compared | {name: bench.policy}


def _group(bench: Bench, learner: object) -> list[tuple[BoundedPolicy, str]]:
    """One learner under both approval rules where it has a belief, else under `two_sample`."""
    rules = ("improve", "two_sample") if hasattr(learner, "features") else ("two_sample",)
    return [(under_bounds(bench, bench.worlds.learn, learner, rule=rule), rule) for rule in rules]


def learning_runs(
    bench: Bench, learners: Iterable[object], job: Job, *, progress: Callable[[int], None]
) -> list[PolicyRun]:
    """All learners under all rules and seeds, two programs at a time."""
    n_tasks = len(bench.worlds.learn.population.names)
    rounds = (job.run.horizon + TRAIN_EXTRA) * n_tasks
    plan = train_plan(job.run.master_seed, job.run.seeds, n_rounds=rounds, precision=job.run.precision)

    def one(learner: object) -> list[PolicyRun]:
        return list(run_policies(bench.worlds.learn, _group(bench, learner), plan, progress=progress))

    with ThreadPoolExecutor(WORKERS) as pool:
        return [run for runs in pool.map(one, learners) for run in runs]


def n_items(learners: Iterable[object], seeds: int) -> int:
    """Seeded runs that `learning_runs` will make."""
    return seeds * sum(2 if hasattr(learner, "features") else 1 for learner in learners)


def truth_for(bench: Bench, runs: list[PolicyRun], horizon: int) -> Truth:
    """Exact values for the runs' whole length."""
    onset = None if bench.drift.onset == NEVER else bench.drift.onset
    limits = runs[0].bounded.params.limits
    return truth_of(
        bench.worlds.learn, bench.worlds.judge, limits, n_evaluations=horizon + TRAIN_EXTRA, onset=onset
    )


def sides(bench: Bench, policy: BoundedPolicy) -> tuple[Side, Side]:
    """The learning and the judging side of the gate, with the bench's logger."""
    here = side(bench.worlds.learn, under_bounds(bench, bench.worlds.learn, bench.logger), policy)
    if not bench.worlds.is_split:
        return here, here
    return here, side(bench.worlds.judge, under_bounds(bench, bench.worlds.judge, bench.logger), policy)


def gate_of(bench: Bench, job: Job, *, ess_shares: tuple[float, ...]) -> Gate:
    """The gate for the policy under vetting."""
    policy = under_bounds(bench, bench.worlds.learn, bench.policy)
    return open_gate(
        sides(bench, policy),
        policy,
        constraints=bench.constraints,
        params=job.pick("gate", GateParams),
        ess_shares=ess_shares,
        master_seed=job.run.master_seed,
    )

