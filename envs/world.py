"""What a world is: pure functions that say what an LLM would have answered.

A world never draws a random number: it is handed `Noise` and is otherwise a function of
its parameters, so any round can be replayed and the same lines run in NumPy and in JAX.
Its population of tasks is finite, so every expectation over contexts is a sum.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array
from envs.lattice import Lattice
from envs.tasks import FeatureSpec, TaskFeatures

__all__ = ["Context", "Noise", "Outcome", "Population", "Scenario", "World", "WorldState"]

N_UNIFORM = 12  # uniforms of one outcome: failure, latency (2), replicate, up to 8 quality checks
N_NORMAL = 2  # normals of one outcome: length component choice is a uniform, its spread a normal

Floats = NDArray[np.float64]


class Context(NamedTuple):
    """One drawn task: its row in the population, its task type, its context vector (d,)."""

    index: Array
    task: Array
    features: Array


class Noise(NamedTuple):
    """All randomness of one outcome: uniform (12,) in [0, 1), normal (2,)."""

    uniform: Array
    normal: Array


class Outcome(NamedTuple):
    """The parts of one answer, or their expectations; () or (m,) each."""

    quality: Array  # share of checks passed, 0..1; 0 after a failure
    output_tokens: Array
    latency_ms: Array
    cost_usd: Array
    failure: Array  # 1.0: the call failed
    truncated: Array  # 1.0: cut off by max_tokens
    reserved: Array  # max_tokens / 4096: capacity held, used or not


class WorldState(NamedTuple):
    """What moves: rounds so far, all task types counted."""

    rounds: Array


class World(NamedTuple):
    """Pure functions over (params, state, ...); built by a cached `make(spec)`."""

    init: Callable[[Any], WorldState]  # params -> state
    context: Callable[..., Context]  # (params, state, task (), uniform ()) -> Context
    expected: Callable[..., tuple[Outcome, Array]]  # (params, state, index, ids (m,)) -> means, reward (m,)
    outcome: Callable[..., tuple[Outcome, Array]]  # (params, state, index, id (), noise) -> parts, reward ()
    advance: Callable[..., WorldState]  # (params, state) -> state


@dataclass(frozen=True)
class Population:
    """The finite set of tasks a world draws from.

    Attributes:
        tasks: n tasks, sorted by task type.
        task: (n,) task type of each.
        features: (n, d) context vectors.
        cluster: (n,) problem each belongs to; standard errors are clustered by it.
        names: task type names.
        mix: (tasks,) share of each task type in traffic, sums to 1.
        spec: how a task became its context vector.
    """

    tasks: tuple[TaskFeatures, ...]
    task: NDArray[np.int32]
    features: Floats
    cluster: NDArray[np.int32]
    names: tuple[str, ...]
    mix: Floats
    spec: FeatureSpec

    @property
    def first(self) -> NDArray[np.int32]:
        """(tasks,) first row of each task type."""
        return np.searchsorted(self.task, np.arange(len(self.names))).astype(np.int32)

    @property
    def count(self) -> NDArray[np.int32]:
        """(tasks,) rows of each task type."""
        return np.bincount(self.task, minlength=len(self.names)).astype(np.int32)


@dataclass(frozen=True)
class Scenario:
    """A world ready to run, with everything its users may know or must not know.

    Attributes:
        name: of the preset, for tables.
        world: its functions.
        params: their numbers (a pytree of arrays).
        lattice: the actions.
        population: the tasks.
        baseline: (tasks,) production's current action per task type.
        recorded: (tasks, actions) False where the world can't answer (replay only).
        reward_range: declared lowest and highest reward, None for unbounded noise.
        is_exact: whether `expected` is the truth (else it is an average of recorded answers).
        notes: what a reader must know, in sentences.
    """

    name: str
    world: World
    params: Any
    lattice: Lattice
    population: Population
    baseline: NDArray[np.int32]
    recorded: NDArray[np.bool_]
    reward_range: tuple[float, float] | None
    is_exact: bool = True
    notes: tuple[str, ...] = field(default=())

    @property
    def reward_span(self) -> float:
        """Width of the declared reward range.

        Raises:
            ValueError: the range is not declared.
        """
        if self.reward_range is None:
            raise ValueError(f"world {self.name!r} declares no reward range, a bounded range is needed here")
        return self.reward_range[1] - self.reward_range[0]

    def table(self, *, rounds: int = 0) -> Floats:
        """Exact expected reward of every task and action, (n, actions), after `rounds` rounds."""
        ids = np.arange(self.lattice.size, dtype=np.int32)
        state = WorldState(np.int32(rounds))
        rows = range(len(self.population.tasks))
        return np.stack([self.world.expected(self.params, state, np.int32(i), ids)[1] for i in rows])
