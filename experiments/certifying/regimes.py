"""The six regimes of the certification: what is true, what the log says, what the estimator is told.

A `Case` is one world in one regime: tables over its population, exact values, and a way to draw logs.
`iid` is the model everybody assumes. Each of the others breaks one assumption and nothing else:
`adaptive` a logger that learns, `drift` a world that moves inside the log (judged against the average
over the log's time), `misspecified_reward` a reward model that is far off (in level, or in rank),
`misspecified_propensity` a log that says a sharper or flatter logger than the one that acted,
`deficient_support` a logger that never tries what holds at least 15 % of the target's mass.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from envs.world import Scenario
from evaluators.coordinates import lattice_points
from evaluators.reward_model import clip
from evaluators.rows import Bools, Floats, Ints, RewardRange
from experiments.certifying.pool import Pool
from experiments.certifying.world_logs import Logs, draw_adaptive, draw_drifting, draw_frozen
from experiments.frozen import Frozen
from experiments.gating import Gate, Side
from experiments.ope import value_of
from policies.masses import TOTAL

__all__ = ["LEVEL", "POWERS", "UNTRIED", "Case", "Shape", "Truth", "pool_cases", "untried", "world_cases"]

Shape = tuple[int, int]  # logs, rows of each
Drawing = Callable[[Shape], Logs]
LEVEL = 0.3  # of the declared range: how far the wrong reward model is off
POWERS = {"sharpened": 1.5, "flattened": 2 / 3}  # of the true propensities: what a wrong log says
UNTRIED = 0.15  # least share of the target's mass that a deficient logger never tries, in every context
FIRST = {"iid": 1_000_000, "adaptive": 2_000_000, "drift": 3_000_000, "deficient_support": 4_000_000}  # seeds


class Truth(NamedTuple):
    """Exact values over a log's time, and at its end; reward units."""

    target: float
    baseline: float  # what the gate compares with: production's action; on the pool the logger
    target_now: float
    baseline_now: float


class Case(NamedTuple):
    """One world in one regime; tables (c, k) over its population, slots that nobody plays left out."""

    regime: str  # one of `certified.REGIMES`
    kind: str  # which of a regime's several; "" where it has one
    world: str
    behavior: Floats  # what the log says; not read where the logger learns
    target: Floats
    baseline: Floats
    truth: Truth
    draw: Drawing
    reward_range: RewardRange | None
    task: Ints  # (c,) task type, by which a learning logger's tables go
    design: Floats | None = None  # (c, k, p) features of a cross-fitted reward model
    predicted: Floats | None = None  # a given reward model; None: cross-fitted on each log
    action_ids: Ints | None = None
    points: Floats | None = None  # (actions, axes)


def world_cases(gate: Gate, target: Frozen, *, drifts: Mapping[str, Scenario], horizon: int) -> Iterator[Case]:
    """Every regime of one simulated world.

    Args:
        gate: its logger, baseline and master seed.
        target: who is judged (`vetting.judged_target`).
        drifts: the same world under drifts of its outcomes, by their names.
        horizon: evaluations that a drifting log runs through.
    """
    here = gate.judge
    slots = np.flatnonzero(((here.behavior.masses > 0) | (target.masses > 0)).any(axis=0))
    scenario, logger, k = here.scenario, here.behavior, here.behavior.masses.shape[1]
    seed = gate.master_seed

    def kept(draw: Callable[..., Logs]) -> Drawing:
        return cache(lambda shape: _renumbered(draw(shape=shape), slots, k))

    base = _plain(
        here, target, slots, kept(partial(draw_frozen, scenario, logger, master_seed=seed, first=FIRST["iid"]))
    )
    yield base
    yield base._replace(
        regime="adaptive",
        draw=kept(partial(draw_adaptive, scenario, logger, master_seed=seed, first=FIRST["adaptive"])),
    )
    for name, moving in drifts.items():
        draw = kept(partial(draw_drifting, moving, logger, master_seed=seed, first=FIRST["drift"], horizon=horizon))
        yield base._replace(regime="drift", kind=name, draw=draw, truth=_average(moving, here, target, horizon))
    rewards = np.take_along_axis(scenario.table(), logger.windows.action_ids, axis=1)
    yield from _wrong_models(base, rewards[:, slots])
    yield from _wrong_propensities(base)
    lacking = _lacking(logger, target, kept=here.baseline.masses > 0)
    draw = kept(partial(draw_frozen, scenario, lacking, master_seed=seed, first=FIRST["deficient_support"]))
    yield base._replace(regime="deficient_support", behavior=lacking.probs[:, slots], draw=draw)


def _renumbered(logs: Logs, slots: Ints, k: int) -> Logs:
    """Slots by their place among those that are kept."""
    place = np.full(k, -1, np.int32)
    place[slots] = np.arange(slots.size)
    masses = None if logs.masses is None else logs.masses[..., slots]
    return logs._replace(slot=place[logs.slot], masses=masses)


def _plain(here: Side, target: Frozen, slots: Ints, draw: Drawing) -> Case:
    """The world as it is."""
    scenario, table = here.scenario, here.scenario.table()
    values = [value_of(scenario, table, who) for who in (target, here.baseline)]
    return Case(
        regime="iid",
        kind="",
        world=scenario.name,
        behavior=here.behavior.probs[:, slots],
        target=target.probs[:, slots],
        baseline=here.baseline.probs[:, slots],
        truth=Truth(*values, *values),
        draw=draw,
        reward_range=None if scenario.reward_range is None else RewardRange(*scenario.reward_range),
        task=scenario.population.task.astype(np.int64),
        design=np.ascontiguousarray(here.design[:, slots]),
        action_ids=here.behavior.windows.action_ids[:, slots].astype(np.int64),
        points=lattice_points(scenario.lattice),
    )


def _average(moving: Scenario, here: Side, target: Frozen, horizon: int) -> Truth:
    """Values averaged over the evaluations of a log, and at the last."""
    starts = moving.regimes(horizon)
    share = np.diff([*starts, horizon]) / horizon
    tables = [moving.table(t=t) for t in starts]
    by_time = np.array([[value_of(moving, table, who) for who in (target, here.baseline)] for table in tables])
    return Truth(*(float(v) for v in (*(share @ by_time), *by_time[-1])))


def _wrong_models(base: Case, rewards: Floats) -> Iterator[Case]:
    """The same logs with a reward model that is too high everywhere, or that ranks the slots the wrong way round.

    Args:
        base: the world as it is.
        rewards: (c, k) exact expected rewards.
    """
    assert base.reward_range is not None
    lo, hi = base.reward_range
    played = np.where(base.behavior > 0, base.behavior, 0.0)
    mean = (played * rewards).sum(axis=1, keepdims=True) / played.sum(axis=1, keepdims=True)
    wrong = {"level": rewards + LEVEL * (hi - lo), "ranking": 2 * mean - rewards}
    for kind, model in wrong.items():
        yield base._replace(regime="misspecified_reward", kind=kind, predicted=clip(model, base.reward_range))


def _wrong_propensities(base: Case) -> Iterator[Case]:
    """The same logs, which say another logger than the one that acted."""
    for kind, power in POWERS.items():
        said = base.behavior**power
        yield base._replace(
            regime="misspecified_propensity", kind=kind, behavior=said / said.sum(axis=1, keepdims=True)
        )


def untried(target: Floats, allowed: Bools) -> Bools:
    """(c, k) the target's favourite slots, as many as hold at least `UNTRIED` of its mass, of those allowed.

    >>> untried(np.array([[0.1, 0.2, 0.7]]), np.array([[True, True, False]]))
    array([[False,  True, False]])
    """
    mass = np.where(allowed, target, 0.0)
    order = np.argsort(-mass, axis=1, kind="stable")
    ranked = np.take_along_axis(mass, order, axis=1)
    taken = (ranked.cumsum(axis=1) - ranked < UNTRIED) & (ranked > 0)
    found = np.zeros(mass.shape, dtype=bool)
    np.put_along_axis(found, order, taken, axis=1)
    return found


def _lacking(behavior: Frozen, target: Frozen, *, kept: Bools) -> Frozen:
    """A logger that never tries some of the target's favourites; its other masses grow in proportion."""
    left = np.where(untried(target.probs, ~kept), 0, behavior.masses).astype(np.int64)
    masses = left * TOTAL // left.sum(axis=1, keepdims=True)
    masses[np.arange(len(masses)), left.argmax(axis=1)] += TOTAL - masses.sum(axis=1)
    return Frozen("deficient", masses.astype(np.int32), behavior.windows)


def pool_cases(pool: Pool, *, seed: int, name: str = "pool") -> Iterator[Case]:
    """The regimes that the base problem has: its reward model is given, its logger frozen, its world still.

    Args:
        pool: the problem; the gate's baseline is its logger.
        seed: of the draws.
        name: for tables.
    """

    def drawn(problem: Pool, first: int) -> Drawing:
        return cache(lambda shape: Logs(*problem.draw(np.random.default_rng([seed, first, *shape]), *shape)))

    base = Case(
        regime="iid",
        kind="",
        world=name,
        behavior=pool.behavior,
        target=pool.target,
        baseline=pool.behavior,
        truth=Truth(*2 * (pool.truth, pool.logger_value)),
        draw=drawn(pool, FIRST["iid"]),
        reward_range=RewardRange(0.0, 1.0),
        task=np.zeros(len(pool.q), np.int64),
        predicted=pool.predicted,
    )
    yield base
    yield from _wrong_models(base, pool.q)
    for wrong in _wrong_propensities(base):
        yield wrong._replace(baseline=wrong.behavior)
    left = np.where(untried(pool.target, np.ones(pool.q.shape, dtype=bool)), 0.0, pool.behavior)
    lacking = pool.logged_by(left / left.sum(axis=1, keepdims=True))
    values = (pool.truth, lacking.logger_value)
    yield base._replace(
        regime="deficient_support",
        behavior=lacking.behavior,
        baseline=lacking.behavior,
        truth=Truth(*values, *values),
        draw=drawn(lacking, FIRST["deficient_support"]),
    )
