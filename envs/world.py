"""What a world is: two pure functions that say what an LLM would have answered.

A world never draws a random number: it is handed `Noise` and is otherwise a function of
its parameters and the time, so any round can be replayed and the same lines run in NumPy
and in JAX. Its population of tasks is finite, so every expectation over contexts is a sum.
Who asks next is `envs.traffic`, the same for every world.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array
from envs.drift import Params as DriftParams
from envs.drift import regimes
from envs.lattice import Lattice
from envs.traffic import Population, Traffic, weights_at

__all__ = ["Noise", "Outcome", "Scenario", "World"]

Floats = NDArray[np.float64]


class Noise(NamedTuple):
    """All randomness of one outcome: uniform (n_uniform,) in [0, 1), normal (n_normal,)."""

    uniform: Array
    normal: Array


class Outcome(NamedTuple):
    """The parts of one answer, or their expectations; () or (m,) each."""

    quality: Array  # 0..1 unless the noise is unbounded; 0 after a failure
    output_tokens: Array
    latency_ms: Array
    cost_usd: Array
    failure: Array  # 1.0: the call failed
    truncated: Array  # 1.0: cut off by max_tokens
    reserved: Array  # max_tokens / 4096: capacity held, used or not


def unchanged(_params: Any, _t: Array) -> Array:
    """(2,) prices that never move."""
    return np.ones(2)


class World(NamedTuple):
    """Pure functions over (params, t, ...), t the evaluation clock, () int32; built by a cached `make(spec)`.

    Attributes:
        expected: (params, t, index (), ids (m,)) -> exact mean Outcome and reward, (m,) each, of a
            task of the population, its hidden difficulty averaged out.
        outcome: (params, t, context, action_id (), noise=Noise) -> Outcome and reward, () each.
        n_uniform: uniforms that one outcome consumes.
        n_normal: normals that one outcome consumes.
        prices: (params, t) -> (2,) input and output token prices, relative to `Scenario.prices`.
    """

    expected: Callable[..., tuple[Outcome, Array]]
    outcome: Callable[..., tuple[Outcome, Array]]
    n_uniform: int
    n_normal: int
    prices: Callable[..., Array] = unchanged


@dataclass(frozen=True)
class Scenario:
    """A world ready to run, with everything its users may know or must not know.

    Attributes:
        name: of the preset, for tables.
        world: its functions.
        params: their numbers (a pytree of arrays).
        traffic: who asks when (a pytree of arrays).
        lattice: the actions.
        population: the tasks.
        baseline: (tasks,) production's current action per task type.
        recorded: (tasks, actions) False where the world can't answer (replay only).
        value_range: declared lowest and highest expected reward.
        reward_range: declared lowest and highest reward, None for unbounded noise.
        drift: what moves over time.
        is_exact: whether `expected` is the truth (else it is an average of recorded answers).
        notes: what a reader must know, in sentences.
        worth: (tasks, 6) reward weights, in the order of `envs.reward.Weights`; empty where the reward is
            not a weighted sum of an outcome's parts.
        prices: (models, 2) USD per million input and output tokens; empty where nobody knows them.
    """

    name: str
    world: World
    params: Any
    traffic: Traffic
    lattice: Lattice
    population: Population
    baseline: NDArray[np.int32]
    recorded: NDArray[np.bool_]
    value_range: tuple[float, float]
    reward_range: tuple[float, float] | None
    drift: tuple[DriftParams, ...] = ()
    is_exact: bool = True
    notes: tuple[str, ...] = field(default=())
    worth: tuple[tuple[float, ...], ...] = ()
    prices: tuple[tuple[float, float], ...] = ()

    @property
    def reward_span(self) -> float:
        """Width of the declared range of expected rewards: the unit of ties and tolerances."""
        return self.value_range[1] - self.value_range[0]

    def parts(self, *, t: int = 0) -> tuple[Outcome, Floats]:
        """Exact expected outcome and reward of every task and action, (n, actions) each, at evaluation t."""
        ids, rows = np.arange(self.lattice.size, dtype=np.int32), range(len(self.population.tasks))
        drawn = [self.world.expected(self.params, np.int32(t), np.int32(i), ids) for i in rows]
        columns = zip(*(parts for parts, _ in drawn), strict=True)
        return Outcome(*(np.stack(column) for column in columns)), np.stack([reward for _, reward in drawn])

    def table(self, *, t: int = 0) -> Floats:
        """Exact expected reward of every task and action, (n, actions), at evaluation t."""
        return self.parts(t=t)[1]

    def weights(self, *, t: int = 0) -> Floats:
        """(n,) probability of each task in traffic at evaluation t, sums to 1."""
        return weights_at(self.traffic, t)

    def regimes(self, n_evaluations: int) -> tuple[int, ...]:
        """The first evaluation of every stretch of time in which nothing moves, from 0 on."""
        return regimes(self.drift, n_evaluations)
