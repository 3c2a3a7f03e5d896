"""Speed as a command: CPU time of the compiled simulation, policy by policy, after compilation.

CPU seconds of the whole process, so a second core or a busy machine does not flatter or
spoil the figure; repeated, the fastest repeat counts.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from envs import presets
from envs.lattice import AxisRange, LatticeRanges
from envs.randomness import Purpose
from envs.surfaces import llm_outcome
from envs.world import Scenario
from experiments import draws
from experiments.compilations import counted
from experiments.converging.calling import opened
from experiments.exporting import finish
from experiments.measurement import Measurement
from experiments.ope_speed import Speed, measure_speed, speed_claims, speed_of
from experiments.recommending import Cost, cost_of, recommendation_claims
from experiments.results import Claim, Results, Summary
from experiments.settings import Job
from experiments.simulate import Plan, simulate
from experiments.terminal import Progress
from experiments.vetting import Bench, Ledger, open_bench, policy_set, under_bounds

__all__ = ["Params", "run"]

MAX_HELP_SECONDS = 1.0  # CPU, of --help
MIN_OUTCOMES = 1.5e6  # per CPU second, of the world alone
MAX_GROWTH_MIB = 16.0
MAX_CPU_SECONDS = 10.0  # for five policies x 256 seeds x 200 evaluations, after compilation


@dataclass(frozen=True)
class Params:
    """What is timed.

    Attributes:
        policies: in the compiled simulation.
        served: by name, learners whose recommendations are timed in NumPy; none: all there are.
        flagship: of them, the one with a threshold of its own.
    """

    policies: dict[str, object] = field(default_factory=dict)
    served: tuple[str, ...] = ()
    flagship: str = "decomposed"
    decisions: int = field(default=1000, metadata={"ge": 20, "le": 10**6, "unit": "recommendations timed"})
    repeats: int = field(default=3, metadata={"ge": 1, "le": 100})
    evaluated: tuple[int, int] = field(default=(10**6, 50), metadata={"ge": 2, "le": 10**8, "unit": "rows, slots"})
    world_seeds: tuple[int, int] = field(default=(128, 12_800), metadata={"ge": 1, "le": 10**7, "unit": "few, many"})


def run(job: Job) -> Summary:
    """Time every policy over `seeds` x `horizon` evaluations, and claim the sum.

    Raises:
        ConfigError: a group is missing or of another kind.
    """
    params, results = job.pick("experiment", Params), Results()
    bench = open_bench(job)
    learners, total = policy_set(bench, params.policies), 0.0
    with Progress() as progress, progress.stage("time", len(learners) * (1 + params.repeats), unit="runs") as advance:
        for name, learner in learners.items():
            compile_cpu, best, programs = _timed(bench, learner, job, params.repeats, advance=advance)
            rounds = job.run.seeds * job.run.horizon
            for measure, value in (
                ("cpu_seconds", best),
                ("cpu_microseconds_per_evaluation", best / rounds * 1e6),
                ("compile_cpu_seconds", compile_cpu),
                ("programs_compiled", float(programs)),
            ):
                results.add(Measurement(section="speed", measure=measure, policy=name, value=value))
            total += best
    with Progress() as alone, alone.stage("world alone", 2, unit="runs") as advance:
        single, double = (_world_alone(params, precision, advance) for precision in ("float32", "float64"))
    claim = Claim(
        f"{len(learners)} policies x {job.run.seeds} seeds x {job.run.horizon} evaluations, after compilation",
        f"{total:.1f} CPU s",
        f"< {MAX_CPU_SECONDS:g} CPU s",
        f"fastest of {params.repeats} repeats each",
        total < MAX_CPU_SECONDS,
    )
    results.extend(_speed_rows(single))
    with Progress() as served, served.stage("recommend", len(_served(params)), unit="learners") as advance:
        costs = _costs(params, advance)
    with Progress() as judged, judged.stage("off-policy evaluation", 1, unit="logs") as advance:
        evaluation = _evaluation(params)
        advance(1)
    for row in (*_cost_rows(costs), *measure_speed(evaluation)):
        results.add(row)
    asked = _help_seconds(params.repeats)
    repeats = f"fastest of {params.repeats} repeats"
    helped = Claim("--help", f"{asked:.2f} CPU s", f"< {MAX_HELP_SECONDS:g} CPU s", repeats, asked < MAX_HELP_SECONDS)
    return finish(
        job,
        Ledger(
            results,
            [
                claim,
                _speed_claim(single, "float32"),
                _speed_claim(double, "float64"),
                _memory_claim(single),
                helped,
                *recommendation_claims(costs, flagship=params.flagship),
                *speed_claims(evaluation),
            ],
        ),
        verdict=None,
        files=[],
        timings=progress.timings,
    )


def _cost_rows(costs: list[Cost]) -> Iterator[Measurement]:
    for cost in costs:
        for measure, value in (("recommendation_p50_ms", cost.p50_ms), ("recommendation_p99_ms", cost.p99_ms)):
            yield Measurement(section="speed", measure=measure, policy=cost.policy, n=cost.k, value=value)


def _served(params: Params) -> tuple[str, ...]:
    return params.served or tuple(presets.names("policy"))


def _costs(params: Params, advance: Callable[[int], None]) -> list[Cost]:
    """Of every learner its fastest repeat, in a process with one BLAS thread: waiting threads would count as work."""
    with opened(1) as pool:
        assert pool is not None
        costs = []
        for name in _served(params):
            learner = presets.load("policy", name)
            tried = [pool.submit(cost_of, learner, decisions=params.decisions) for _ in range(params.repeats)]
            fastest = min((one.result() for one in tried), key=lambda one: one.p99_ms)
            costs.append(fastest._replace(policy=name))  # two yamls may configure one learner
            advance(1)
    return costs


def _evaluation(params: Params) -> list[Speed]:
    """Off-policy evaluation, in a process with one BLAS thread."""
    with opened(1) as pool:
        assert pool is not None
        n, k = params.evaluated
        return pool.submit(speed_of, n, k=k, repeats=params.repeats).result()


def _small_world() -> Scenario:
    """gsm8k_small on a lattice of 50 actions: 5 temperatures, 5 caps, 2 values of top_p; 12 entries of context."""
    params = presets.load("world", "gsm8k_small")
    assert isinstance(params, llm_outcome.Params)
    grid = LatticeRanges(AxisRange("0.6", "1.4", "0.2"), AxisRange("112", "912", "200"), AxisRange("0.9", "1", "0.1"))
    return llm_outcome.build(replace(params, lattice=grid))


def _speed_rows(fast: draws.Speed) -> dict[str, object]:
    return {
        "section": "speed",
        "measure": ["outcomes_per_cpu_second", "memory_growth_mib"],
        "policy": "world alone",
        "value": [fast.per_cpu_second, max(fast.growth_mib, 0.0)],
    }


def _world_alone(params: Params, precision: str, advance: Callable[[int], None]) -> draws.Speed:
    fast = draws.speed(_small_world(), seeds=params.world_seeds, repeats=params.repeats, precision=precision)
    advance(1)
    return fast


def _speed_claim(fast: draws.Speed, precision: str) -> Claim:
    """Required in float32, the precision of the thresholds; reported in float64."""
    is_required = precision == "float32"
    return Claim(
        f"World alone, gsm8k_small on 50 actions with 12 entries of context: outcomes per CPU second in {precision}",
        f"{fast.per_cpu_second / 1e6:.2f} M",
        f">= {MIN_OUTCOMES / 1e6:g} M" if is_required else "reported",
        "no policy, fastest repeat",
        fast.per_cpu_second >= MIN_OUTCOMES if is_required else None,
    )


def _memory_claim(fast: draws.Speed) -> Claim:
    few, many = fast.seeds
    return Claim(
        f"World alone: largest memory with {many:,} seeds over that with {few:,}",
        f"+{fast.growth_mib:.1f} MiB",
        f"<= {MAX_GROWTH_MIB:g} MiB",
        "resident, largest so far",
        fast.growth_mib <= MAX_GROWTH_MIB,
    )


def _help_seconds(repeats: int) -> float:
    """CPU seconds of `python -m experiments.run --help` as a program of its own, the fastest repeat."""
    found = []
    for _ in range(repeats):
        before = os.times()
        subprocess.run([sys.executable, "-m", "experiments.run", "--help"], check=True, capture_output=True)
        after = os.times()
        found.append(after.children_user - before.children_user + after.children_system - before.children_system)
    return min(found)


def _timed(
    bench: Bench, learner: object, job: Job, repeats: int, *, advance: Callable[[int], None]
) -> tuple[float, float, int]:
    """CPU seconds of the first run less a later one, of the fastest later run, and programs compiled."""
    policy = under_bounds(bench, bench.worlds.learn, learner)
    seeds = tuple(range(job.run.seeds))
    plan = Plan(job.run.master_seed, Purpose.TRAIN, seeds, job.run.horizon, job.run.precision)

    def once() -> float:
        begin = time.process_time()
        for _ in simulate([bench.worlds.learn], [policy], plan):
            pass
        advance(1)
        return time.process_time() - begin

    with counted() as programs:
        first = once()
    best = min(once() for _ in range(repeats))
    return max(first - best, 0.0), best, programs.programs
