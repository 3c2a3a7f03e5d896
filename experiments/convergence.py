"""Learning runs of several policies in one world, and what they converged to.

Regret and deployed values come from the exact table of expected rewards, never from the
rewards a run happened to see.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from envs.feedback import Params as FeedbackParams
from envs.oracle import type_values
from envs.randomness import Purpose
from envs.world import Scenario
from evaluators.regret import Convergence, converged_by
from experiments.measurement import Measurement
from experiments.simulate import TRAIN_EXTRA, Plan, Trajectory, simulate
from policies.build import BoundedPolicy
from policies.constraints import Bounds, legal

__all__ = [
    "KEPT_SEEDS",
    "PolicyRun",
    "Truth",
    "answered",
    "convergence_of",
    "deployed",
    "measure_runs",
    "run_policies",
    "truth_of",
]

KEPT_SEEDS = 32  # seeds whose whole trajectories are kept, for logs and the propensity check
FLAT = 1e-12  # reward units: best and worst closer than this are equal
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """What is kept of one policy under one approval rule.

    Attributes:
        bounded: the policy.
        rule: approval rule, in words.
        centre: (s, rounds) approved action of each decision's task type.
        index: (s, rounds) task of the population.
        task: (s, rounds) its task type.
        delivered: (s, rounds, arrivals) rounds whose rewards were learned from then, -1 for none.
        missing: (s, rounds) rewards that never set out.
        expected: (s, rounds) exact expected reward of the action taken.
        kept: whole trajectories of the first `KEPT_SEEDS` seeds.
    """

    bounded: BoundedPolicy
    rule: str
    centre: NDArray[np.int32]
    index: NDArray[np.int32]
    task: NDArray[np.int32]
    delivered: NDArray[np.int32]
    missing: NDArray[np.bool_]
    expected: Floats
    kept: Trajectory


class Truth(NamedTuple):
    """Exact values of a world over time, one entry per regime (a change of drift begins a new one).

    Attributes:
        begins: first evaluation (from 0) of each regime.
        value: per regime (tasks, actions) mean over the task type's contexts as they come then.
        best_here: per regime (n,) best legal action's value of each task.
        best: (tasks, T) oracle; worst likewise.
        stderr: (tasks, actions) of a recorded world's means, clustered by problem; None where exact.
    """

    begins: tuple[int, ...]
    value: tuple[Floats, ...]
    best_here: tuple[Floats, ...]
    best: Floats
    worst: Floats
    stderr: Floats | None = None

    def error(self, task: int, value: float) -> float | None:
        """Standard error of a task type's action of this value; None where values are exact."""
        if self.stderr is None:
            return None
        nearest = np.nanargmin(np.abs(self.value[-1][task] - value))
        return float(self.stderr[task, nearest])

    def regime(self, n_evaluations: int) -> NDArray[np.intp]:
        """(T,) regime of each evaluation."""
        return np.searchsorted(np.array(self.begins), np.arange(n_evaluations), side="right") - 1


def truth_of(scenario: Scenario, judge: Scenario, limits: Bounds, *, n_evaluations: int) -> Truth:
    """The exact values under the hard limits, one entry for every stretch in which nothing moves.

    Args:
        scenario: where policies learn; regret of each request is told against its own best action.
        judge: where deployed values are told: the same world, or the held-out half of a recorded one.
        limits: hard limits.
        n_evaluations: T.
    """
    begins, allowed = scenario.regimes(n_evaluations), legal(scenario.lattice, limits)
    values, best_here = [], []
    for begin in begins:
        table = scenario.table(t=begin)
        values.append(type_values(judge, t=begin, table=table if judge is scenario else None))
        best_here.append(np.where(allowed[scenario.population.task], table, -np.inf).max(axis=1))
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

    slabs: list[list[_Slab]] = [[] for _ in group]
    for items, _, rows in simulate([scenario], [bounded for bounded, _ in group], plan, progress=report):
        for number in np.unique(items[:, 1]):
            room = KEPT_SEEDS - sum(len(slab.centre) for slab in slabs[number])
            slabs[number].append(_slab(rows, np.flatnonzero(items[:, 1] == number), room=room))
    for (bounded, rule), found in zip(group, slabs, strict=True):
        yield PolicyRun(bounded, rule, *jax.tree.map(lambda *leaves: np.concatenate(leaves), *found))


class _Slab(NamedTuple):
    """What is kept of one policy in one slab; fields as `PolicyRun`."""

    centre: NDArray[np.int32]
    index: Any  # (s, rounds) int32; tuples have a method of this name
    task: NDArray[np.int32]
    delivered: NDArray[np.int32]
    missing: NDArray[np.bool_]
    expected: Floats
    kept: Trajectory


def _slab(rows: Trajectory, mine: NDArray[np.intp], *, room: int) -> _Slab:
    first = mine[: max(room, 0)]
    kept = jax.tree.map(lambda leaf: leaf[first], rows)
    held = (rows.centre, rows.index, rows.task, rows.delivered, rows.missing, rows.expected)
    return _Slab._make((*(leaf[mine] for leaf in held), kept))


def at_clock(values: NDArray[Any], task: NDArray[np.integer], n_tasks: int) -> NDArray[np.float64]:
    """(s, rounds) values of requests as (s, tasks, T): at every evaluation, that of the type's next request.

    Where task types take turns, that is each type's own request of the turn. The last request's
    value holds from then on; NaN where a type has none.
    """
    s, rounds = values.shape
    out = np.full((s, n_tasks, rounds // n_tasks), np.nan)
    ticks = np.arange(rounds // n_tasks) * n_tasks
    for seed, k in product(range(s), range(n_tasks)):
        where = np.flatnonzero(task[seed] == k)
        if where.size:
            out[seed, k] = values[seed, where[np.minimum(np.searchsorted(where, ticks), where.size - 1)]]
    return out


def deployed(run: PolicyRun, truth: Truth) -> Floats:
    """(s, tasks, T) exact value of the approved parameters at every evaluation."""
    n_tasks = truth.best.shape[0]
    held = at_clock(run.centre, run.task, n_tasks)
    start = np.asarray(run.bounded.params.start)[None, :, None]
    centre = np.where(np.isnan(held), start, held).astype(np.int64)
    regime = truth.regime(centre.shape[2])
    tables = np.stack(truth.value)  # (regimes, tasks, actions)
    tasks = np.arange(n_tasks)[None, :, None]
    return np.asarray(tables[regime[None, None, :], tasks, centre])


def regret(run: PolicyRun, truth: Truth) -> Floats:
    """(s, T) cumulative regret per evaluation: best legal action for each request minus what was taken."""
    n_tasks, (s, rounds) = truth.best.shape[0], run.index.shape
    regime = np.repeat(truth.regime(rounds // n_tasks), n_tasks)
    best = np.stack(truth.best_here)[regime[None, :], run.index]
    return np.asarray(np.cumsum((best - run.expected).reshape(s, -1, n_tasks).mean(axis=2), axis=1))


def convergence_of(run: PolicyRun, truth: Truth, *, task: int, span: float, by: tuple[int, ...]) -> Convergence:
    """Shares of seeds converged on one task type."""
    values = deployed(run, truth)[:, task]
    return converged_by(values, truth.best[task], worst=truth.worst[task], reward_span=span, by=by)


def measure_runs(
    scenario: Scenario, runs: Sequence[PolicyRun], truth: Truth, *, by: tuple[int, ...]
) -> Iterator[Measurement]:
    """Regret curves, deployed values, oracle, convergence shares and what became of rewards, as tidy measurements.

    Curves end at the horizon, `TRAIN_EXTRA` evaluations before the run does. A task type in which
    no action matters has nothing to converge to, and no shares.
    """
    names, horizon = scenario.population.names, truth.best.shape[1] - TRAIN_EXTRA
    for task, name in enumerate(names):
        row = partial(Measurement, section="simulation", world=scenario.name, task=name)
        home = runs[0].bounded.params.start[task]
        yield row(
            measure="start", value=truth.value[0][task, home], stderr=truth.error(task, truth.value[0][task, home])
        )
        last = truth.best[task, -1]
        yield row(measure="oracle", value=last, stderr=truth.error(task, last))
        if len(truth.begins) > 1:
            yield row(measure="oracle_before_drift", value=truth.best[task, 0])
    for run in runs:
        row = partial(Measurement, world=scenario.name, policy=run.bounded.name, rule=run.rule)
        yield from _curve(partial(row, measure="regret"), regret(run, truth)[:, :horizon])
        held, played = deployed(run, truth), at_clock(run.expected, run.task, len(names))
        for task, name in enumerate(names):
            yield from _curve(partial(row, measure="played", task=name), played[:, task, :horizon])
            yield from _curve(partial(row, measure="deployed", task=name), held[:, task, :horizon])
            if np.any(truth.best[task] - truth.worst[task] > FLAT):
                shares = convergence_of(run, truth, task=task, span=scenario.reward_span, by=by)
                yield from _shares(partial(row, task=name), shares)
        yield from _feedback(partial(row, section="simulation"), run)


def answered(delivered: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(s, rounds) whether a round's reward was learned from by the end; `delivered` as in `PolicyRun`.

    >>> answered(np.array([[[-1, -1], [0, -1], [-1, -1]]])).tolist()
    [[True, False, False]]
    """
    s, rounds, arrivals = delivered.shape
    heard = np.zeros((s, rounds + 1), np.bool_)
    rows = np.repeat(np.arange(s), rounds * arrivals)
    heard[rows, np.where(delivered < 0, rounds, delivered).ravel()] = True
    return heard[:, :rounds]


def _feedback(row: Callable[..., Measurement], run: PolicyRun) -> Iterator[Measurement]:
    """How many rewards arrived, never set out, or were on their way at the end; nothing where all arrive at once.

    Those on their way: pending, or pushed out of a full ring. Copies: deliveries that a learner heard again.
    """
    rounds, heard = run.task.size, answered(run.delivered)
    if np.array_equal(run.delivered[..., 0], np.broadcast_to(np.arange(run.task.shape[1]), run.task.shape)):
        return
    found = {
        "delivered": heard.sum(),
        "missing": run.missing.sum(),
        "censored": (~heard & ~run.missing).sum(),
        "copies": (run.delivered >= 0).sum() - heard.sum(),
    }
    for name, count in found.items():
        yield row(measure=f"feedback_{name}", n=rounds, value=float(count))


def _curve(row: Callable[..., Measurement], values: Floats) -> Iterator[Measurement]:
    """Mean over seeds with its 95 % interval; one seed has none."""
    mean = values.mean(axis=0)
    stderr = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else None
    for t, m in enumerate(mean):
        e = None if stderr is None else stderr[t]
        lo, hi = (None, None) if e is None else (m - 1.96 * e, m + 1.96 * e)
        yield row(section="simulation", t=t + 1, value=m, stderr=e, lo=lo, hi=hi)


def _shares(row: Callable[..., Measurement], found: Convergence) -> Iterator[Measurement]:
    for measure in ("reached", "strict", "kept"):
        for share in getattr(found, measure):
            if share.total:
                yield row(
                    section="convergence", measure=measure, n=share.by, value=share.share, lo=share.lo, hi=1.0
                )  # fmt: skip


def train_plan(
    master_seed: int, seeds: int, *, n_rounds: int, precision: str, feedback: FeedbackParams | None = None
) -> Plan:
    """The learning runs' plan: seeds 0..seeds-1 of purpose TRAIN."""
    return Plan(
        master_seed, Purpose.TRAIN, tuple(range(seeds)), n_rounds, precision, feedback or FeedbackParams()
    )  # fmt: skip
