"""Learning runs of several policies in one world, and what they converged to.

Regret and deployed values come from the exact table of expected rewards, never from the
rewards a run happened to see.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from envs.randomness import Purpose
from envs.world import Scenario
from evaluators.regret import Convergence, converged_by
from experiments.measurement import Measurement
from experiments.simulate import Plan, Trajectory, simulate
from policies.build import BoundedPolicy
from policies.constraints import Bounds, legal

__all__ = ["KEPT_SEEDS", "PolicyRun", "Truth", "convergence_of", "deployed", "measure_runs", "run_policies", "truth_of"]

KEPT_SEEDS = 32  # seeds whose whole trajectories are kept, for logs and the propensity check
Floats = NDArray[np.float64]


class PolicyRun(NamedTuple):
    """What is kept of one policy under one approval rule.

    Attributes:
        bounded: the policy.
        rule: approval rule, in words.
        centre: (s, rounds) approved action of each decision's task type.
        index: (s, rounds) task of the population.
        expected: (s, rounds) exact expected reward of the action taken.
        kept: whole trajectories of the first `KEPT_SEEDS` seeds.
    """

    bounded: BoundedPolicy
    rule: str
    centre: NDArray[np.int32]
    index: NDArray[np.int32]
    expected: Floats
    kept: Trajectory


class Truth(NamedTuple):
    """Exact values of a world over time, one entry per regime (a drift step begins a new one).

    Attributes:
        begins: first evaluation (from 0) of each regime.
        value: per regime (tasks, actions) mean over the task type's contexts.
        best_here: per regime (n,) best legal action's value of each task.
        best: (tasks, T) oracle; worst likewise.
    """

    begins: tuple[int, ...]
    value: tuple[Floats, ...]
    best_here: tuple[Floats, ...]
    best: Floats
    worst: Floats

    def regime(self, n_evaluations: int) -> NDArray[np.intp]:
        """(T,) regime of each evaluation."""
        return np.searchsorted(np.array(self.begins), np.arange(n_evaluations), side="right") - 1


def truth_of(scenario: Scenario, judge: Scenario, limits: Bounds, *, n_evaluations: int, onset: int | None) -> Truth:
    """The exact values under the hard limits, before and after a step drift.

    Args:
        scenario: where policies learn; regret of each request is told against its own best action.
        judge: where deployed values are told: the same world, or the held-out half of a recorded one.
        limits: hard limits.
        n_evaluations: T.
        onset: evaluation of a step drift, None without one.
    """
    begins = (0,) if onset is None or not 0 < onset < n_evaluations else (0, onset)
    allowed, task, held = legal(scenario.lattice, limits), scenario.population.task, judge.population.task
    n_tasks = len(scenario.population.names)
    values, best_here = [], []
    for begin in begins:
        table = scenario.table(rounds=begin * n_tasks)
        far = table if judge is scenario else judge.table(rounds=begin * n_tasks)
        values.append(np.stack([far[held == k].mean(axis=0) for k in range(n_tasks)]))
        best_here.append(np.where(allowed[task], table, -np.inf).max(axis=1))
    regime = np.searchsorted(np.array(begins), np.arange(n_evaluations), side="right") - 1
    best = np.stack([np.where(allowed, v, -np.inf).max(axis=1) for v in values])[regime].T
    worst = np.stack([np.where(allowed, v, np.inf).min(axis=1) for v in values])[regime].T
    return Truth(begins, tuple(values), tuple(best_here), best, worst)


def run_policies(
    scenario: Scenario,
    group: Sequence[tuple[BoundedPolicy, str]],
    plan: Plan,
    *,
    progress: Callable[[int], None] | None = None,
) -> Iterator[PolicyRun]:
    """Run policies that share a program (one learner under several rules), all seeds.

    Args:
        scenario: the world.
        group: (policy, rule in words).
        plan: seeds and rounds.
        progress: called with the items just done.
    """
    done = 0

    def report(so_far: int, _of: int) -> None:
        nonlocal done
        if progress:
            progress(so_far - done)
        done = so_far

    parts: list[list[tuple[Trajectory, NDArray[np.int32]]]] = [[] for _ in group]
    for items, _, rows in simulate([scenario], [bounded for bounded, _ in group], plan, progress=report):
        for number in np.unique(items[:, 1]):
            mine = np.flatnonzero(items[:, 1] == number)
            chosen = jax.tree.map(lambda leaf, mine=mine: leaf[mine], rows)
            parts[number].append((chosen, items[mine, 2]))
    for (bounded, rule), rows in zip(group, parts, strict=True):
        yield _gather(bounded, rule, [part for part, _ in rows])


def _gather(bounded: BoundedPolicy, rule: str, slabs: list[Trajectory]) -> PolicyRun:
    whole = {name: np.concatenate([getattr(s, name) for s in slabs]) for name in ("centre", "index", "expected")}
    kept: list[Trajectory] = []
    room = KEPT_SEEDS
    for slab in slabs:
        take = min(room, len(slab.centre))
        kept.append(jax.tree.map(lambda leaf, take=take: leaf[:take], slab))
        room -= take
    merged = jax.tree.map(lambda *leaves: np.concatenate(leaves), *kept)
    return PolicyRun(bounded, rule, whole["centre"], whole["index"], whole["expected"], merged)


def by_task(values: NDArray[np.generic], n_tasks: int) -> NDArray[np.generic]:
    """(s, rounds) rows in round-robin order as (s, tasks, T)."""
    s, rounds = values.shape
    return values.reshape(s, rounds // n_tasks, n_tasks).swapaxes(1, 2)


def deployed(run: PolicyRun, truth: Truth) -> Floats:
    """(s, tasks, T) exact value of the approved parameters at every evaluation."""
    centre = by_task(run.centre, truth.best.shape[0])
    regime = truth.regime(centre.shape[2])
    tables = np.stack(truth.value)  # (regimes, tasks, actions)
    tasks = np.arange(centre.shape[1])[None, :, None]
    return np.asarray(tables[regime[None, None, :], tasks, centre])


def regret(run: PolicyRun, truth: Truth) -> Floats:
    """(s, T) cumulative regret per task type: best legal action for each request minus what was taken."""
    n_tasks = truth.best.shape[0]
    index, expected = by_task(run.index, n_tasks), by_task(run.expected, n_tasks)
    regime = truth.regime(index.shape[2])
    best = np.stack(truth.best_here)[regime[None, None, :], index]
    return np.asarray(np.cumsum((best - expected).mean(axis=1), axis=1))


def convergence_of(run: PolicyRun, truth: Truth, *, task: int, span: float, by: tuple[int, ...]) -> Convergence:
    """Shares of seeds converged on one task type."""
    values = deployed(run, truth)[:, task]
    return converged_by(values, truth.best[task], worst=truth.worst[task], reward_span=span, by=by)


def measure_runs(
    scenario: Scenario, runs: Sequence[PolicyRun], truth: Truth, *, by: tuple[int, ...]
) -> Iterator[Measurement]:
    """Regret curves, deployed values, oracle and convergence shares, as tidy measurements."""
    names, horizon = scenario.population.names, max(by)
    for task, name in enumerate(names):
        start = truth.value[0][task, runs[0].bounded.params.start[task]]
        common = {"section": "simulation", "world": scenario.name, "task": name}
        yield Measurement(**common, measure="oracle", value=truth.best[task, 0])
        yield Measurement(**common, measure="start", value=start)
    for run in runs:
        key = {"world": scenario.name, "policy": run.bounded.name, "rule": run.rule}
        yield from _curve(key, "regret", "", regret(run, truth)[:, :horizon])
        held = deployed(run, truth)
        for task, name in enumerate(names):
            yield from _curve(key, "deployed", name, held[:, task, :horizon])
            shares = convergence_of(run, truth, task=task, span=scenario.reward_span, by=by)
            yield from _shares(key, name, shares)


def _curve(key: dict[str, str], measure: str, task: str, values: Floats) -> Iterator[Measurement]:
    mean = values.mean(axis=0)
    stderr = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros_like(mean)
    for t, (m, e) in enumerate(zip(mean, stderr, strict=True), start=1):
        yield Measurement(
            **key, section="simulation", measure=measure, task=task, t=t,
            value=m, stderr=e, lo=m - 1.96 * e, hi=m + 1.96 * e,
        )  # fmt: skip


def _shares(key: dict[str, str], task: str, found: Convergence) -> Iterator[Measurement]:
    for measure in ("reached", "strict", "kept"):
        for share in getattr(found, measure):
            if share.total:
                yield Measurement(
                    **key, section="convergence", measure=measure, task=task, n=share.by,
                    value=share.share, lo=share.lo, hi=1.0,
                )  # fmt: skip


def train_plan(master_seed: int, seeds: int, *, n_rounds: int, precision: str) -> Plan:
    """The learning runs' plan: seeds 0..seeds-1 of purpose TRAIN."""
    return Plan(master_seed, Purpose.TRAIN, tuple(range(seeds)), n_rounds, precision)
