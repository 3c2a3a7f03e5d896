"""What a vetting run is made of: worlds, the policies compared, and their learning runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain
from typing import Any, NamedTuple, Protocol

from envs.drift import Params as DriftParams
from envs.drift import check_onsets
from envs.feedback import Params as FeedbackParams
from envs.randomness import Purpose
from envs.surfaces import replay
from envs.targets import function_of, refuse
from envs.world import Scenario
from evaluators.estimation import needs_of
from evaluators.gates import Params as GateParams
from evaluators.reward_model import Model
from evaluators.sums import weights_of
from evaluators.support import Support, assess
from experiments import claims
from experiments.convergence import PolicyRun, Truth, run_policies, train_plan, truth_of
from experiments.frozen import Frozen, design_ess, draw_log, freeze, learn, point_mass
from experiments.gating import Gate, Rules, Side, open_gate, side, softened
from experiments.measurement import Measurement
from experiments.ope import Judged, LogPlan, judge_logs, measure_ope, rows_of, value_of
from experiments.results import Claim, Results
from experiments.settings import Job
from experiments.simulate import TRAIN_EXTRA
from experiments.terminal import Progress
from policies.approval import Params as ApprovalParams
from policies.build import BoundedPolicy, bounded, learner_module
from policies.constraints import Params as ConstraintParams

__all__ = [
    "Bench",
    "Worlds",
    "build_worlds",
    "check_questions",
    "check_range",
    "gate_of",
    "learning_runs",
    "n_items",
    "open_bench",
    "policy_set",
]
__all__ += ["sides", "truth_for", "under_bounds", "worlds_asked"]

WORKERS = 2  # programs that compile and run at once
PILOT_SEED = 1_000_000  # of purpose TRAIN: the log that the judged target learned from
TARGET_ESS = 0.25  # design ESS / n of the judged target, the middle of [0.2, 0.3]


class Ledger(NamedTuple):
    """What the stages of an experiment have found so far."""

    results: Results
    claims: list[Claim]


def workers() -> ThreadPoolExecutor:
    """Threads for work that releases the interpreter while compiled programs run."""
    return ThreadPoolExecutor(WORKERS)


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
    drift: tuple[DriftParams, ...]
    feedback: FeedbackParams
    constraints: ConstraintParams
    approval: ApprovalParams
    logger: object
    policy: object


def build_worlds(params: object, drift: Sequence[DriftParams]) -> Worlds:
    """The scenario of a world config; a recorded world is split into two halves of its problems.

    Actions missing from either half are infeasible in both.
    """
    module = import_module(type(params).__module__)
    scenario = module.build(params, drift=drift)
    if scenario.is_exact:
        return Worlds(scenario, scenario)
    learn, judge = module.split(scenario)
    common = learn.recorded & judge.recorded
    return Worlds(replace(learn, recorded=common), replace(judge, recorded=common))


def drift_of(job: Job) -> tuple[DriftParams, ...]:
    """The drift components of a job.

    Raises:
        ConfigError: one of another kind, or one that begins after the run.
    """
    chosen = job.pick("drift", dict)
    for name, component in chosen.items():
        if not isinstance(component, DriftParams):
            raise refuse(f"drift.{name}", type(component).__name__, "envs.drift.Params")
    check_onsets(chosen, horizon=job.run.horizon)
    return tuple(chosen.values())


def open_bench(job: Job) -> Bench:
    """The groups of a job, built and typed.

    Raises:
        ConfigError: a group is missing or of another kind, or a drift begins after the run.
        ValueError: the world refuses its numbers or its file.
    """
    drift = drift_of(job)
    return Bench(
        build_worlds(job.pick("world", object), drift),
        drift,
        job.pick("feedback", FeedbackParams),
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
    plan = train_plan(
        job.run.master_seed, job.run.seeds, n_rounds=rounds, precision=job.run.precision, feedback=bench.feedback
    )

    def one(learner: object) -> list[PolicyRun]:
        return list(run_policies(bench.worlds.learn, _group(bench, learner), plan, progress=progress))

    with workers() as pool:
        return [run for runs in pool.map(one, learners) for run in runs]


def n_items(learners: Iterable[object], seeds: int) -> int:
    """Seeded runs that `learning_runs` will make."""
    return seeds * sum(2 if hasattr(learner, "features") else 1 for learner in learners)


def truth_for(bench: Bench, runs: list[PolicyRun], horizon: int) -> Truth:
    """Exact values for the runs' whole length."""
    limits = runs[0].bounded.params.limits
    learn, judge = bench.worlds.learn, bench.worlds.judge
    exact = truth_of(learn, judge, limits, n_evaluations=horizon + TRAIN_EXTRA)
    return exact if judge.is_exact else exact._replace(stderr=replay.truth(judge).stderr)


def notes_of(bench: Bench) -> tuple[str, ...]:
    """What a reader must know of the world and the settings, in sentences."""
    notes = bench.worlds.judge.notes
    if any(c != DriftParams(shape=c.shape, onset=c.onset, duration=c.duration) for c in bench.drift):
        notes += (
            f"The drift from evaluation {min(c.onset for c in bench.drift)} on is in the learning runs; logs, "
            "estimates, gate and bundle speak of the world at evaluation 0.",
        )
    if not bench.worlds.judge.is_exact:
        notes += (
            "Oracle and deployed values are means over the judging half, with standard errors: the largest of several "
            "noisy means is too large, so regret is overstated and shares converged are understated.",
        )
    return notes


def sides(bench: Bench, policy: BoundedPolicy) -> tuple[Side, Side]:
    """The learning and the judging side of the gate, with the bench's logger."""
    here = side(bench.worlds.learn, under_bounds(bench, bench.worlds.learn, bench.logger), policy)
    if not bench.worlds.is_split:
        return here, here
    return here, side(bench.worlds.judge, under_bounds(bench, bench.worlds.judge, bench.logger), policy)


def null_gate(bench: Bench, null_world: object, job: Job, *, ess_shares: tuple[float, ...]) -> Gate:
    """The same gate in the control world."""
    worlds = build_worlds(null_world, bench.drift)
    return gate_of(bench._replace(worlds=worlds), job, ess_shares=ess_shares)


def worlds_asked(bench: Bench, null_world: object) -> dict[str, Scenario]:
    """The worlds that a run judges in, by their dotted name in the config; no control where `null_world` is None."""
    found = {"world": bench.worlds.judge}
    return (
        found if null_world is None else found | {"experiment.null_world": build_worlds(null_world, bench.drift).judge}
    )


def gate_of(bench: Bench, job: Job, *, ess_shares: tuple[float, ...]) -> Gate:
    """The gate for the policy under vetting."""
    policy = under_bounds(bench, bench.worlds.learn, bench.policy)
    rules = Rules(bench.constraints, job.pick("gate", GateParams), reward_model_of(job), ess_shares)
    return open_gate(sides(bench, policy), policy, rules=rules, master_seed=job.run.master_seed)


def reward_model_of(job: Job) -> Model:
    """The reward model of a job.

    Raises:
        ConfigError: not a plug-in of `evaluators/models/` or the ridge of `evaluators/reward_model.py`.
    """
    model: Model = job.pick("reward_model", object)  # type: ignore[assignment]  # told by its function, not its kind
    function_of(model, "tables")
    return model


class Questions(Protocol):
    """What an experiment asks of its logs."""

    @property
    def log_sizes(self) -> tuple[int, ...]:
        """Rows per log."""

    @property
    def ess_shares(self) -> tuple[float, ...]:
        """Wanted ESS / n of the softened candidates."""


def check_questions(job: Job, asked: Questions) -> None:
    """Refuse, before anything is computed, a run that would judge nothing, or the same twice.

    Raises:
        ConfigError: no estimator, no log size, or a size or share that stands there twice.
    """
    job.pick("estimator", dict)
    if not asked.log_sizes or len(set(asked.log_sizes)) < len(asked.log_sizes):
        raise refuse("experiment.log_sizes", list(asked.log_sizes), "at least one size, each once")
    if len({f"{share:g}" for share in asked.ess_shares}) < len(asked.ess_shares):
        raise refuse("experiment.ess_shares", list(asked.ess_shares), "each share once, told apart by six digits")


def check_range(job: Job, worlds: Mapping[str, Scenario], *, has_gate: bool) -> None:
    """Refuse, before anything is computed, rewards without a declared range where a bound is built on it.

    Args:
        job: the run.
        worlds: by their dotted name in the config.
        has_gate: whether the gate is asked at all.

    Raises:
        ConfigError: a world of unbounded noise, and who needs its range.
    """
    bounds = {name: one.interval for name, one in job.pick("estimator", dict).items()}
    needy = {name: type(one).__module__ for name, one in bounds.items() if "design" in needs_of(one)}
    users = [f"estimator.{name}.interval = {module.rsplit('.', 1)[-1]}" for name, module in needy.items()]
    users = ["the gate's bound"] * has_gate + users
    for path, scenario in worlds.items():
        if scenario.reward_range is None and users:
            got = f"{scenario.name}, whose noise is unbounded"
            raise refuse(path, got, f"a declared reward range for {' and '.join(users)}; see {path}.noise.kind")


class Sizes(Protocol):
    """How many logs of which sizes an experiment judges."""

    @property
    def log_sizes(self) -> tuple[int, ...]:
        """Rows per log."""

    @property
    def ope_logs(self) -> int:
        """Logs per size."""


def judged_target(gate: Gate) -> tuple[Frozen, float]:
    """The frozen softmax that estimators judge, learned from a pilot log of its own, and its exact value."""
    here, there = gate.judge, gate.learn
    pilot = draw_log(
        there.scenario, there.behavior, master_seed=gate.master_seed, purpose=Purpose.TRAIN, seed=PILOT_SEED
    )
    state = learn(gate.policy, pilot, there.behavior, there.scenario)
    soft = softened(gate, state, ess_share=TARGET_ESS)
    target = soft.frozen if here is there else freeze(soft.name, soft.bounded, state, here.scenario)
    return target, value_of(here.scenario, here.scenario.table(), target)


def judge_estimators(
    gate: Gate, sizes: Sizes, job: Job, *, ledger: Ledger, progress: Progress
) -> Iterator[list[Judged]]:
    """Every estimator of the job on many logs of each size; nothing for a policy without a belief."""
    if gate.soft is None:
        return
    target, truth = judged_target(gate)
    world, share = gate.judge.scenario.name, design_ess(target, gate.judge.behavior, gate.judge.weight)
    row = Measurement(section="ope", measure="design_ess_share", world=world, policy=target.name, value=share)
    ledger.results.add(row)
    ledger.claims.append(claims.target_support(share, is_exact=gate.judge.scenario.is_exact))
    estimators = job.pick("estimator", dict)
    with progress.stage("off-policy evaluation", sizes.ope_logs * len(sizes.log_sizes), unit="logs") as advance:
        for n in sizes.log_sizes:
            plan = LogPlan(n, sizes.ope_logs, gate.master_seed, Purpose.LOG, first=1, model=gate.model)
            judged = judge_logs(gate.judge, target, estimators=estimators, plan=plan, truth=truth, progress=advance)
            measured = (measure_ope(gate.judge.scenario.name, target.name, one) for one in judged)
            for row in chain.from_iterable(measured):
                ledger.results.add(row)
            yield judged


def point_mass_support(gate: Gate, log_sizes: Iterable[int]) -> dict[int, Support]:
    """Support of the judged target's favourite action alone, on one log of each size."""
    here, target = gate.judge, judged_target(gate)[0]
    log = draw_log(here.scenario, here.behavior, master_seed=gate.master_seed, purpose=Purpose.LOG, seed=1)
    greedy = point_mass("point_mass", here.behavior, target.masses.argmax(axis=1))
    found = {}
    for n in log_sizes:
        rows = rows_of(log.part(0, n), here.behavior, greedy, scenario=here.scenario)
        found[n] = assess(weights_of(rows))
    return found
