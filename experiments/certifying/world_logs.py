"""Many logs of one world, as arrays: by a frozen logger, while the world drifts, or by a logger that learns.

Rows are (task of the population, window slot, reward); rewards come from the world's own outcome
function. A log of n rows that drifts runs through the same evaluations whatever n: row i of n is at
evaluation i T // n. The learning logger looks at its rewards every `BATCH` rows and plays a floored
softmax of shrunken running means per task type and slot; its integer masses are logged with its choices.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from envs import traffic
from envs.arrays import Array
from envs.randomness import Purpose, episode_noise, sizes_of
from envs.world import Scenario, World
from experiments.frozen import LOG_ROWS, Frozen, draw_log
from experiments.simulate import COMPILER
from policies.masses import TOTAL, draw_slot, integer_masses

__all__ = ["BATCH", "STRETCH", "Logs", "clock_of", "draw_adaptive", "draw_drifting", "draw_frozen", "probs_of"]

BATCH = 100  # rows between two looks of the learning logger
PRIOR_ROWS = 5.0  # rows' worth of the overall mean in a cell's mean
SHARPNESS = 40.0  # of its softmax, per declared span of rewards
FLOOR = 0.3  # share of its choices that is even over the window
CHUNK = 20_000  # drifting rows drawn by one call
STRETCH = 200  # rows of a learning logger drawn by one call
SIDE_BY_SIDE = 50  # learning logs drawn at once
SEEDS_APART = 10_000  # between the stretches of one log
Floats = NDArray[np.float64]


class Logs(NamedTuple):
    """L logs of n rows each."""

    row: NDArray[np.int32]  # (L, n) of the population
    slot: NDArray[np.int32]  # (L, n)
    reward: Floats  # (L, n)
    masses: NDArray[np.int32] | None = None  # (L, looks, tasks, k) what a learning logger played, of 2^20

    def part(self, begin: int, end: int) -> "Logs":
        """Some of the logs."""
        masses = None if self.masses is None else self.masses[begin:end]
        return Logs(self.row[begin:end], self.slot[begin:end], self.reward[begin:end], masses)


def draw_frozen(scenario: Scenario, behavior: Frozen, *, master_seed: int, first: int, shape: tuple[int, int]) -> Logs:
    """Logs of a frozen logger: independent rows, 2,000 a call, dealt to the logs in order.

    Args:
        scenario: the world at evaluation 0.
        behavior: who logs.
        master_seed: of the run.
        first: seed of the first call, of purpose LOG.
        shape: (L, n).
    """
    n_calls = -(-shape[0] * shape[1] // LOG_ROWS)
    drawn = [
        draw_log(scenario, behavior, master_seed=master_seed, purpose=Purpose.LOG, seed=first + call)
        for call in range(n_calls)
    ]
    return _dealt([(log.index, log.slot, log.reward) for log in drawn], shape)


def _dealt(parts: Sequence[Sequence[Any]], shape: tuple[int, int]) -> Logs:
    size = shape[0] * shape[1]
    index, slot, reward = (np.concatenate(column)[:size].reshape(shape) for column in zip(*parts, strict=True))
    return Logs(index, slot, reward)


def clock_of(n: int, horizon: int) -> NDArray[np.int32]:
    """(n,) evaluation of each row of a log that runs through all of them.

    >>> clock_of(6, 3).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    return (np.arange(n, dtype=np.int64) * horizon // n).astype(np.int32)


@partial(jax.jit, static_argnames=("world",), compiler_options=COMPILER)
def _drifting(world: World, numbers: tuple[Any, ...], source: tuple[Any, ...], times: Array) -> tuple[Array, ...]:
    params, who, masses, action_ids = numbers
    noise = episode_noise(*source, n_rounds=times.shape[0], sizes=sizes_of(world), dtype="float64")
    start = jax.tree.map(jnp.asarray, traffic.start(who.first.shape[0]))

    def one(row: Any, t: Array) -> tuple[Array, Array, Array]:
        context = traffic.draw(who, start, row.context, by_mix=True)
        slot = draw_slot(masses[context.index], row.decision)
        action = action_ids[context.index, slot]
        return context.index, slot, world.outcome(params, t, context, action, noise=row.outcome)[1]

    return jax.vmap(one)(noise, times)


def draw_drifting(
    scenario: Scenario, behavior: Frozen, *, master_seed: int, first: int, shape: tuple[int, int], horizon: int
) -> Logs:
    """Logs of a frozen logger while the world's outcomes drift; who asks does not.

    Args:
        scenario: a world with a drift of outcomes.
        behavior: who logs.
        master_seed: of the run.
        first: seed of the first call, of purpose LOG.
        shape: (L, n).
        horizon: evaluations that a log runs through.
    """
    numbers = (scenario.params, scenario.traffic, behavior.masses, behavior.windows.action_ids)
    n_calls = -(-shape[0] * shape[1] // CHUNK)
    times, parts = np.resize(clock_of(shape[1], horizon), n_calls * CHUNK), []
    for call in range(n_calls):
        source = (np.uint32(master_seed), np.uint32(Purpose.LOG), np.uint32(first + call))
        now = times[call * CHUNK : (call + 1) * CHUNK]
        parts.append(tuple(np.asarray(column) for column in _drifting(scenario.world, numbers, source, now)))
    return _dealt(parts, shape)


@partial(jax.jit, static_argnames=("world",), compiler_options=COMPILER)
def _stretch(world: World, numbers: tuple[Any, ...], source: tuple[Any, ...], seen: tuple[Array, Array]) -> Any:
    """`STRETCH` rows of many logs, from what each has seen: (what each has seen then, their rows)."""
    params, who, feasible, action_ids, span = numbers
    start = jax.tree.map(jnp.asarray, traffic.start(who.first.shape[0]))

    def look(seen: tuple[Array, Array], rows: Any) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        masses = _played(*seen, feasible=feasible, span=span)

        def one(row: Any) -> tuple[Array, ...]:
            context = traffic.draw(who, start, row.context, by_mix=True)
            slot = draw_slot(masses[context.task], row.decision)
            action = action_ids[context.index, slot]
            reward = world.outcome(params, jnp.int32(0), context, action, noise=row.outcome)[1]
            return context.task, context.index, slot, reward

        task, index, slot, reward = jax.vmap(one)(rows)
        count, total = seen
        return (count.at[task, slot].add(1.0), total.at[task, slot].add(reward)), (index, slot, reward, masses)

    def log(seed: Array, seen: tuple[Array, Array]) -> Any:
        noise = episode_noise(*source[:2], seed, n_rounds=STRETCH, sizes=sizes_of(world), dtype="float64")
        return jax.lax.scan(look, seen, jax.tree.map(lambda leaf: leaf.reshape(-1, BATCH, *leaf.shape[1:]), noise))

    return jax.vmap(log)(source[2], seen)


def _played(count: Array, total: Array, *, feasible: Array, span: Array) -> Array:
    """(tasks, k) masses: a floor, the rest a softmax of the means so far."""
    overall = total.sum(axis=1, keepdims=True) / jnp.maximum(count.sum(axis=1, keepdims=True), 1.0)
    mean = (total + PRIOR_ROWS * overall) / (count + PRIOR_ROWS)
    soft = jax.nn.softmax(jnp.where(feasible, SHARPNESS * mean / span, -jnp.inf), axis=1)
    on = feasible.astype(soft.dtype)
    even = on / on.sum(axis=1, keepdims=True)
    return jax.vmap(integer_masses)(FLOOR * even + (1.0 - FLOOR) * soft, feasible)


def draw_adaptive(
    scenario: Scenario, behavior: Frozen, *, master_seed: int, first: int, shape: tuple[int, int]
) -> Logs:
    """Logs of a logger that learns from them.

    Args:
        scenario: the world at evaluation 0.
        behavior: whose windows are played, as far as they are feasible.
        master_seed: of the run.
        first: of the seeds of purpose LOG, one per log and stretch of `STRETCH` rows.
        shape: (L, n), n a multiple of `STRETCH`.

    Raises:
        ValueError: another n.
    """
    n_logs, n = shape
    if n % STRETCH or n < STRETCH:
        raise ValueError(f"n = {n} rows, need a multiple of {STRETCH}: learning logs are drawn in such stretches")
    feasible = behavior.masses[scenario.population.first] > 0
    numbers = (scenario.params, scenario.traffic, feasible, behavior.windows.action_ids, scenario.reward_span)
    source, blocks = (np.uint32(master_seed), np.uint32(Purpose.LOG)), []
    for begin in range(0, n_logs, SIDE_BY_SIDE):
        seen = (np.zeros((SIDE_BY_SIDE, *feasible.shape)), np.zeros((SIDE_BY_SIDE, *feasible.shape)))
        parts = []
        for stretch in range(n // STRETCH):
            seeds = np.arange(SIDE_BY_SIDE, dtype=np.uint32) + np.uint32(first + begin + stretch * SEEDS_APART)
            seen, drawn = _stretch(scenario.world, numbers, (*source, seeds), seen)
            parts.append([np.asarray(column) for column in drawn])
        blocks.append([np.concatenate(column, axis=1) for column in zip(*parts, strict=True)])
    index, slot, reward, masses = (np.concatenate(column)[:n_logs] for column in zip(*blocks, strict=True))
    return Logs(index.reshape(shape), slot.reshape(shape), reward.reshape(shape), masses)


def probs_of(logs: Logs, task: NDArray[np.integer[Any]]) -> Floats:
    """(L n, k) what a learning logger played at each row.

    Args:
        logs: of `draw_adaptive`, or some of them.
        task: (tasks of the population,) type of each.
    """
    assert logs.masses is not None
    n_logs, n = logs.row.shape
    log, look = np.arange(n_logs)[:, None], np.arange(n) // BATCH
    found = logs.masses[log, look, task[logs.row]] / TOTAL
    return np.asarray(found.reshape(n_logs * n, -1))
