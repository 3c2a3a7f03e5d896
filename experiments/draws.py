"""A world alone, drawn in bulk without any policy: how fast it is, and whether it means what it says.

Actions are drawn evenly from the lattice, contexts from the traffic of one evaluation. Seeds
run in blocks of one fixed size, so memory does not depend on how many there are.
"""

import resource
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from envs import traffic
from envs.arrays import Array
from envs.randomness import DRAWS, NoiseSizes, Purpose, RoundNoise, episode_noise, sizes_of
from envs.world import Outcome, Scenario, World
from experiments.simulate import COMPILER, SLAB, cast

__all__ = ["MEASURED", "Agreement", "Speed", "agreement", "speed"]

CHUNK = 16  # seeds side by side
ROUNDS = 200  # of every seed in a block
MEASURED = (*Outcome._fields, "reward")
Floats = NDArray[np.float64]


class Speed(NamedTuple):
    """Outcomes per CPU second, the fastest repeat, and by how much memory grew from few seeds to many, in MiB."""

    per_cpu_second: float
    growth_mib: float
    seeds: tuple[int, int]


class Agreement(NamedTuple):
    """Drawn against exact means over one set of contexts and actions.

    Attributes:
        n: draws.
        drawn: (parts,) mean of the draws.
        exact: (parts,) mean of the expectations at the same contexts and actions.
        stderr: (parts,) of their difference.
    """

    n: int
    drawn: Floats
    exact: Floats
    stderr: Floats

    @property
    def z(self) -> Floats:
        """(parts,) difference in standard errors; 0 where both are the same constant."""
        gap = self.drawn - self.exact
        still = np.abs(gap) <= 1e-9 * (1.0 + np.abs(self.exact))
        return np.where(still, 0.0, gap / np.where(self.stderr > 0, self.stderr, 1e-300))


class _Shape(NamedTuple):
    """Static facts of a block."""

    world: World
    n_actions: int
    n_tasks: int
    sizes: NoiseSizes
    precision: str
    by_mix: bool


def _shape(scenario: Scenario, precision: str, *, by_mix: bool) -> _Shape:
    n_tasks = len(scenario.population.names)
    return _Shape(scenario.world, scenario.lattice.size, n_tasks, sizes_of(scenario.world), precision, by_mix)


def _request(shape: _Shape, who: Any, noise: RoundNoise, rounds: Array) -> tuple[traffic.Context, Array]:
    """A context and an evenly drawn action; the decision's 20 bits are enough for every lattice we draw from."""
    clock = traffic.Clock(rounds, jnp.zeros(shape.n_tasks, jnp.int32))
    drawn = noise.decision.astype(jnp.int64) * shape.n_actions // DRAWS
    return traffic.draw(who, clock, noise.context, by_mix=shape.by_mix), drawn.astype(jnp.int32)


@partial(jax.jit, static_argnames=("shape",), compiler_options=COMPILER)
def _rewards(shape: _Shape, leaves: tuple[Any, Any], source: tuple[Array, Array], seeds: Array) -> Array:
    params, who = leaves

    def one(seed: Array) -> Array:
        noise = episode_noise(*source, seed, n_rounds=ROUNDS, sizes=shape.sizes, dtype=shape.precision)

        def play(rounds: Array, row: RoundNoise) -> Array:
            context, action = _request(shape, who, row, rounds)
            t = rounds // np.int32(shape.n_tasks)
            return shape.world.outcome(params, t, context, action, noise=row.outcome)[1]

        return jnp.sum(jax.vmap(play)(jnp.arange(ROUNDS, dtype=jnp.int32), noise))

    return jax.lax.map(one, seeds, batch_size=CHUNK)


@partial(jax.jit, static_argnames=("shape",), compiler_options=COMPILER)
def _residuals(
    shape: _Shape, leaves: tuple[Any, Any], source: tuple[Array, Array], at: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Sums over one block: of the draws, of the expectations, of their squared differences; (parts,) each."""
    (params, who), (seeds, t) = leaves, at

    def one(seed: Array) -> tuple[Array, Array, Array]:
        noise = episode_noise(*source, seed, n_rounds=ROUNDS, sizes=shape.sizes, dtype=shape.precision)

        def play(row: RoundNoise) -> tuple[Array, Array]:
            context, action = _request(shape, who, row, t * np.int32(shape.n_tasks))
            parts, reward = shape.world.outcome(params, t, context, action, noise=row.outcome)
            means, mean = shape.world.expected(params, t, context.index, action.reshape(1))
            return jnp.stack([*parts, reward]), jnp.stack([*(m[0] for m in means), mean[0]])

        drawn, exact = jax.vmap(play)(noise)
        return drawn.sum(axis=0), exact.sum(axis=0), jnp.square(drawn - exact).sum(axis=0)

    sums = jax.lax.map(one, seeds, batch_size=CHUNK)
    return tuple(jnp.sum(leaf, axis=0) for leaf in sums)  # type: ignore[return-value]  # three leaves, as above


def _leaves(scenario: Scenario, precision: str) -> tuple[Any, Any]:
    return cast(scenario.params, precision), cast(scenario.traffic, precision)


def agreement(scenario: Scenario, *, t: int, draws: int, master_seed: int) -> Agreement:
    """Draws of a world at one evaluation against its expectations, part by part, in float64.

    Args:
        scenario: the world.
        t: evaluation.
        draws: how many, rounded up to whole blocks of 25,600.
        master_seed: of purpose CERTIFY.
    """
    shape, leaves = _shape(scenario, "float64", by_mix=True), _leaves(scenario, "float64")
    source = (np.uint32(master_seed), np.uint32(Purpose.CERTIFY))
    n_blocks = -(-draws // (SLAB * ROUNDS))
    totals = [np.zeros(len(MEASURED)) for _ in range(3)]
    for block in range(n_blocks):
        seeds = np.arange(SLAB, dtype=np.int32) + np.int32(block * SLAB)
        found = _residuals(shape, leaves, source, (seeds, np.int32(t)))
        totals = [total + np.asarray(sums) for total, sums in zip(totals, found, strict=True)]
    n = n_blocks * SLAB * ROUNDS
    drawn, exact, square = (total / n for total in totals)
    spread = np.maximum(square - (drawn - exact) ** 2, 0.0)
    return Agreement(n, drawn, exact, np.sqrt(spread / n))


def speed(scenario: Scenario, *, seeds: tuple[int, int], repeats: int, precision: str) -> Speed:
    """Outcomes per CPU second: noise, context, an evenly drawn action, outcome and reward of 200 rounds a seed.

    Args:
        scenario: the world.
        seeds: few and many; time is taken with many, memory compared between both.
        repeats: the fastest counts.
        precision: float32 or float64.
    """
    shape, leaves = _shape(scenario, precision, by_mix=False), _leaves(scenario, precision)
    source = (np.uint32(0), np.uint32(Purpose.TRAIN))

    def once(count: int) -> float:
        begin = time.process_time()
        for first in range(0, count, SLAB):
            block = np.arange(SLAB, dtype=np.int32) + np.int32(first)
            np.asarray(_rewards(shape, leaves, source, block))
        return time.process_time() - begin

    few, many = (-(-count // SLAB) * SLAB for count in seeds)
    once(few)
    before = _resident_mib()
    best = min(once(many) for _ in range(repeats))
    return Speed(many * ROUNDS / best, _resident_mib() - before, (few, many))


def _resident_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
