"""A world as a Gymnasium environment: `gymnasium.make("guardband/LLMOutcome-v0", preset="gsm8k_small")`.

Importing this module registers the id. Seed i is seed i of the compiled simulation: the
noise of a whole episode is drawn once, by the same counters, and every step is the world's
own functions in NumPy. `info` holds the truth too: judges may read it, learners must not.
"""

import operator
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs import presets
from envs.randomness import Purpose, RoundNoise, episode_noise
from envs.tasks import CLIP
from envs.world import Context, Noise, Outcome, Scenario, WorldState

__all__ = ["ENV_ID", "LLMOutcome", "make"]

ENV_ID = "guardband/LLMOutcome-v0"
MAX_SEED = 2**31 - 1

Observation = dict[str, Any]
Info = dict[str, Any]


class _Episode(NamedTuple):
    """Where an episode stands: its seed, all its noise, the world's state and the request to decide."""

    seed: int
    noise: RoundNoise
    state: WorldState
    context: Context


class LLMOutcome(gymnasium.Env[Observation, Any]):
    """Requests in turn: observe a context, choose an action of the lattice, get its reward.

    Round r is evaluation r // n_tasks of task type r % n_tasks. An episode never terminates; it is
    truncated after `horizon` evaluations of every task type. `reset(seed=i)` is seed i of purpose
    TRAIN; `reset()` draws the next seed from the generator of the last one.

    The observation holds `context`, (d,) in [-3, 3], and `task`, the task type. An action is an id of
    `scenario.lattice`. `info` tells of the request to decide: `seed`, `round`, `evaluation`, `task_name`,
    `index` (its row of the population), `uniform` (for `policies.decide`) and `action_mask` ((actions,)
    1 where this world can answer); and, after a step, of the round just played: `parameters`,
    `outcome` (its parts), `expected` (expected reward of the action) and `oracle` (the best there was).

    Raises:
        ValueError: a horizon, master seed or render mode that cannot be used.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 4}

    def __init__(
        self, scenario: Scenario, *, horizon: int = 200, master_seed: int = 0, render_mode: str | None = None
    ) -> None:
        modes = self.metadata["render_modes"]
        if not 1 <= horizon <= 1_000_000:
            raise ValueError(f"horizon = {horizon}, need 1 <= horizon <= 1000000 evaluations")
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode = {render_mode!r}, need one of {modes} or None")
        self.scenario, self.horizon, self.render_mode = scenario, horizon, render_mode
        self.master_seed = _seed("master_seed", master_seed)
        self.n_tasks = len(scenario.population.names)
        width = scenario.population.features.shape[1]
        self.action_space = spaces.Discrete(scenario.lattice.size)
        self.observation_space = spaces.Dict(
            {"context": spaces.Box(-CLIP, CLIP, (width,), np.float64), "task": spaces.Discrete(self.n_tasks)}
        )
        self._episode: _Episode | None = None
        self._line = "no episode yet: call reset()"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, Info]:
        """Begin an episode.

        Args:
            seed: which one; None draws a seed.
            options: not used.

        Raises:
            ValueError: a seed outside 0 .. 2^31 - 1.
        """
        super().reset(seed=seed, options=options)
        drawn = _seed("seed", int(self.np_random.integers(MAX_SEED)) if seed is None else seed)
        rounds = self.horizon * self.n_tasks
        source = (np.uint32(self.master_seed), np.uint32(Purpose.TRAIN), np.int32(drawn))
        with jax.enable_x64(True):  # whatever the caller's own JAX code uses
            noise = episode_noise(*source, n_rounds=rounds + 1, dtype="float64")
        noise = jax.tree.map(np.asarray, noise)
        state = self.scenario.world.init(self.scenario.params)
        self._episode = _Episode(drawn, noise, state, self._context(state, noise))
        self._tell(f"seed {drawn}: {rounds} rounds of {', '.join(self.scenario.population.names)}")
        return self._observed(self._episode)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Play one round.

        Raises:
            TypeError: an action that is no integer.
            ValueError: an action outside the grid, or never recorded for this task type.
            ResetNeeded: no episode has begun, or it is over.
        """
        if self._episode is None or self._episode.state.rounds >= self.horizon * self.n_tasks:
            raise gymnasium.error.ResetNeeded(f"{self._line}; call reset() before step()")
        _, noise, state, context = self._episode
        world, params = self.scenario.world, self.scenario.params
        chosen = self._checked(action, int(context.task))
        drawn = Noise(noise.outcome.uniform[state.rounds], noise.outcome.normal[state.rounds])
        outcome, reward = world.outcome(params, state, context.index, chosen, noise=drawn)
        means = world.expected(params, state, context.index, np.arange(self.scenario.lattice.size, dtype=np.int32))[1]
        best = float(np.max(means[self.scenario.recorded[context.task]]))
        played: Info = {
            "parameters": self.scenario.lattice.parameters(int(chosen)),
            "outcome": {name: float(part) for name, part in zip(Outcome._fields, outcome, strict=True)},
            "expected": float(means[chosen]),
            "oracle": best,
        }
        after = world.advance(params, state)
        self._episode = self._episode._replace(state=after, context=self._context(after, noise))
        self._tell(self._sentence(state, played, float(reward)))
        observation, info = self._observed(self._episode)
        return observation, float(reward), False, bool(after.rounds >= self.horizon * self.n_tasks), info | played

    def render(self) -> str | None:
        """The last round in one line; `human` prints it as it happens and returns nothing."""
        return self._line if self.render_mode == "ansi" else None

    def _context(self, state: WorldState, noise: RoundNoise) -> Context:
        task = np.int32(state.rounds % self.n_tasks)
        return self.scenario.world.context(self.scenario.params, state, task, np.asarray(noise.context)[state.rounds])

    def _observed(self, episode: _Episode) -> tuple[Observation, Info]:
        task, rounds = int(episode.context.task), int(episode.state.rounds)
        observation = {"context": np.array(episode.context.features, np.float64), "task": np.int64(task)}
        info: Info = {
            "seed": episode.seed,
            "round": rounds,
            "evaluation": rounds // self.n_tasks,
            "task_name": self.scenario.population.names[task],
            "index": int(episode.context.index),
            "uniform": int(episode.noise.decision[rounds]),
            "action_mask": self.scenario.recorded[task].astype(np.int8),
        }
        return observation, info

    def _checked(self, action: Any, task: int) -> NDArray[np.int32]:
        """The action as an id, or the reason why it is none."""
        lattice, name = self.scenario.lattice, self.scenario.population.names[task]
        try:
            chosen = operator.index(action)
        except TypeError:
            raise TypeError(f"action = {action!r}, need an integer id, 0 <= id < {lattice.size}") from None
        if not 0 <= chosen < lattice.size:
            raise ValueError(f"action {chosen} lies outside the grid, need 0 <= action < {lattice.size}")
        if not self.scenario.recorded[task, chosen]:
            where = f"action {chosen}, {lattice.parameters(chosen)}, was never recorded for task type {name!r}"
            raise ValueError(f"{where}; need one where info['action_mask'] is 1")
        return np.asarray(chosen, np.int32)

    def _sentence(self, state: WorldState, played: Info, reward: float) -> str:
        rounds, moving = int(state.rounds), [a.name for a in self.scenario.lattice.axes if len(a.values) > 1]
        name = self.scenario.population.names[rounds % self.n_tasks]
        point = ", ".join(f"{axis} {played['parameters'][axis]:g}" for axis in moving)
        quality, expected, best = played["outcome"]["quality"], played["expected"], played["oracle"]
        got = f"quality {quality:.2f}, reward {reward:.3f} (expected {expected:.3f}, best {best:.3f})"
        return f"{name}, evaluation {rounds // self.n_tasks}: {point or 'the only action'} -> {got}"

    def _tell(self, line: str) -> None:
        self._line = line
        if self.render_mode == "human":
            print(line)


def _seed(name: str, value: int) -> int:
    if not 0 <= value <= MAX_SEED:
        raise ValueError(f"{name} = {value}, need 0 <= {name} <= {MAX_SEED}")
    return int(value)


def make(
    preset: str = "gsm8k_small",
    *,
    drift: str = "none",
    horizon: int = 200,
    master_seed: int = 0,
    render_mode: str | None = None,
) -> LLMOutcome:
    """The environment of a choice of configs/world, under a choice of configs/drift.

    A world made of recorded outcomes needs a path: build its scenario, then `LLMOutcome(scenario)`.

    Raises:
        ConfigError: no such preset or drift (the nearest name is given).
        ValueError: as `LLMOutcome`.
    """
    scenario = presets.scenario(preset, drift=drift)
    return LLMOutcome(scenario, horizon=horizon, master_seed=master_seed, render_mode=render_mode)


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="envs.gym:make")
