"""A world as a power question: exact tables, the noise of its rewards, and the real gate on fresh logs.

Values come from the world's own expectations, the noise from rewards drawn at every cell, the logger's
probabilities from the logger itself at another floor. The check draws logs, fits the reward model on each
and asks `evaluators.gates.compare`, as a vetting run does.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from envs.randomness import Purpose
from envs.targets import refuse
from envs.world import Scenario
from evaluators.gates import Params as GateParams
from evaluators.gates import certified, compare
from evaluators.reward_model import Params as ModelParams
from evaluators.reward_model import Sample, fit_tables, make_folds, with_model
from evaluators.rows import Floats, Ints, RewardRange, Rows
from experiments.frozen import LOG_ROWS, Frozen, draw_log, freeze, start_state
from experiments.gating import Side, side
from experiments.powering.contests import Contest, Loss
from experiments.powering.modelled import modelled
from experiments.powering.predicting import Design
from experiments.settings import Job
from experiments.vetting import Bench, under_bounds

__all__ = ["World", "approvals", "design_of", "loss_of", "open_world"]

NOISE_DRAWS, NOISE_SEED = 200, 2_000_000  # of LOG_ROWS rows each; purpose TRAIN


class World(NamedTuple):
    """A bench, its contest without a candidate, and the noise of its rewards."""

    bench: Bench
    side: Side
    contest: Contest
    noise: Floats  # (m, k) variance of the reward
    model: ModelParams
    master_seed: int


def open_world(job: Job, bench: Bench) -> World:
    """The tables of a job's world.

    Raises:
        ConfigError: rewards without a declared range, a logger without a floor, or a reward model that is not ridge.
        ValueError: the world has no exact truth.
    """
    scenario = bench.worlds.judge
    if not scenario.is_exact:
        raise ValueError(
            f"world = {job.choices['world']!r} has no exact truth, need a simulated world, or a pilot log: data=FILE"
        )
    if scenario.reward_range is None:
        got = f"{scenario.name}, whose rewards are unbounded"
        raise refuse("world", got, "a declared reward range for the gate's bound; see world.noise.kind")
    if not hasattr(bench.logger, "floor"):
        raise refuse("logger", job.choices["logger"], "a logger with a floor of uniform exploration, to vary it")
    model = job.pick("reward_model", ModelParams)  # the expansion is ridge regression's
    policy = under_bounds(bench, scenario, bench.policy)
    here = side(scenario, under_bounds(bench, scenario, bench.logger), policy)
    windows = here.behavior.windows
    table = np.take_along_axis(scenario.table(), windows.action_ids, axis=1)
    value = np.where(windows.feasible, table, 0.0)
    contest = Contest(
        share=here.weight,
        feasible=np.asarray(windows.feasible),
        shape=here.behavior.probs,
        baseline=here.baseline.probs,
        target=here.baseline.probs,
        value=value,
        reward_range=RewardRange(*scenario.reward_range),
    )
    even = _logger(bench, scenario, 1.0)
    noise = _noise(scenario, even, value, master_seed=job.run.master_seed)
    return World(bench, here, contest, noise, model, job.run.master_seed)


def _logger(bench: Bench, scenario: Scenario, floor: float) -> Frozen:
    settings: Any = replace(bench.logger, floor=floor)  # type: ignore[type-var]  # any logger's Params
    logger = under_bounds(bench, scenario, settings)
    return freeze(f"logger_{floor:g}", logger, start_state(logger), scenario)


def _noise(scenario: Scenario, even: Frozen, value: Floats, *, master_seed: int) -> Floats:
    """(m, k) mean squared error of drawn rewards about their exact mean; cells never drawn take the mean of all."""
    count, square = np.zeros(value.shape), np.zeros(value.shape)
    for i in range(NOISE_DRAWS):
        log = draw_log(scenario, even, master_seed=master_seed, purpose=Purpose.TRAIN, seed=NOISE_SEED + i)
        cell = (log.index, log.slot)
        np.add.at(count, cell, 1.0)
        np.add.at(square, cell, (log.reward - value[cell]) ** 2)
    return np.divide(square, count, out=np.full_like(value, square.sum() / count.sum()), where=count > 0)


def design_of(world: World, contest: Contest, floor: float) -> Design:
    """The contest under the world's logger with another floor.

    Args:
        world: whose logger.
        contest: with a candidate.
        floor: share of uniform exploration.
    """
    behavior = _logger(world.bench, world.side.scenario, floor).probs
    spread_at = modelled(contest, behavior, noise=world.noise, features=world.side.design, model=world.model)
    return Design(contest, floor, behavior, spread_at)


def loss_of(_: World, design: Design) -> Loss:
    """What a decision of the design's logger costs, exactly."""
    return Loss(design.contest.mean(design.contest.baseline - design.behavior))


def approvals(world: World, params: GateParams, design: Design, *, n: int, n_logs: int, first: int) -> Iterator[bool]:
    """What the gate says of the design's target on fresh logs, one after another.

    Args:
        world: where the logs are written.
        params: the gate's numbers.
        design: logger and candidate.
        n: decisions of a log.
        n_logs: logs.
        first: seed of the first rows drawn; `n * n_logs / LOG_ROWS` seeds from there on are used.
    """
    behavior = _logger(world.bench, world.side.scenario, design.floor)
    contest = design.contest
    for number, log in enumerate(_logs(world, behavior, (n, n_logs), first=first)):
        rng = np.random.Generator(np.random.Philox(key=np.array([first, number], np.uint64)))
        rows = _with_model(world, contest, design.behavior, log=log, rng=rng)
        target = np.tile(contest.target, (world.model.n_folds, 1))
        found = compare(params, rows, target=target, n_judged=params.max_judged)
        is_sure = found.stderr > 0 and certified(params, n).holds
        is_supported = found.target.sufficient and found.baseline.sufficient
        yield bool(is_supported and is_sure and found.lower >= 0)


class _Log(NamedTuple):
    context: Ints
    slot: Ints
    reward: Floats

    def part(self, begin: int, end: int) -> "_Log":
        return _Log(self.context[begin:end], self.slot[begin:end], self.reward[begin:end])


def _joined(parts: list[_Log]) -> _Log:
    contexts, slots, rewards = zip(*parts, strict=True)
    return _Log(np.concatenate(contexts), np.concatenate(slots), np.concatenate(rewards))


def _logs(world: World, behavior: Frozen, shape: tuple[int, int], *, first: int) -> Iterator[_Log]:
    """Independent logs of n rows, cut from one stream."""
    n, n_logs = shape
    held, seed = _Log(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)), first
    for _ in range(n_logs):
        drawn = [held]
        for _ in range(-(-(n - held.context.size) // LOG_ROWS)):
            rows = draw_log(
                world.side.scenario, behavior, master_seed=world.master_seed, purpose=Purpose.CERTIFY, seed=seed
            )
            drawn.append(_Log(rows.index.astype(np.int64), rows.slot.astype(np.int64), rows.reward))
            seed += 1
        held = _joined(drawn)
        yield held.part(0, n)
        held = held.part(n, held.context.size)


def _with_model(world: World, contest: Contest, behavior: Floats, *, log: _Log, rng: np.random.Generator) -> Rows:
    """A log beside its own cross-fitted reward model; its target is the baseline."""
    fold = make_folds(rng, log.context.size, n_folds=world.model.n_folds)
    sample = Sample(log.context, log.slot, log.reward, fold, reward_range=contest.reward_range)
    rows = Rows(
        reward=log.reward,
        slot=log.slot,
        behavior=behavior,
        target=contest.baseline,
        reward_range=contest.reward_range,
        row=log.context,
    )
    return with_model(rows, fit_tables(world.model, world.side.design, sample), fold)
