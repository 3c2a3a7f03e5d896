"""A world as a Gymnasium environment: `gymnasium.make("guardband/LLMOutcome-v0", preset="gsm8k_small")`.

Importing this module registers that id, and `guardband/PRESET-v0` for every preset. Seed i is
seed i of the compiled simulation: the same counters make the noise, and every step is the world's
own functions in NumPy. `info` holds the truth too: judges may read it, learners must not.
JAX draws the noise, and what JAX has begun does not survive a fork: where an environment was reset
before, start the processes of an `AsyncVectorEnv` with `context="spawn"`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np

from envs import presets
from envs.gym_noise import BLOCK, block
from envs.gym_stage import MAX_SEED, Delivery, Mailbox, Oracle, Played, Settings, deliver, seed_of, stage
from envs.randomness import RoundNoise
from envs.traffic import Clock, Context, advance, draw, now, start
from envs.world import Noise, Outcome

__all__ = ["ENV_ID", "LLMOutcome", "preset_id"]

ENV_ID = "guardband/LLMOutcome-v0"

Observation = dict[str, Any]
Info = dict[str, Any]


class _Episode(NamedTuple):
    """Where an episode stands: its seed, noise from round `begin` on, clock, post, and the request to decide."""

    seed: int
    noise: RoundNoise
    begin: int
    clock: Clock
    box: Mailbox
    context: Context


@dataclass(eq=False, repr=False)
class LLMOutcome(Settings, gymnasium.Env[Observation, Any]):
    """Requests one by one: observe a context, choose an action of the lattice, get what rewards arrive.

    Constructor arguments are `Settings`. An episode never terminates; it is truncated after `horizon`
    rounds for every task type. `reset(seed=i)` is seed i of purpose TRAIN; `reset()` draws the next
    seed from the generator of the last one.

    The observation holds `context`, (d,) in [-3, 3], and `task`, the task type. An action is an id of
    `scenario.lattice`, or its coordinates. A step's reward is the sum of the rewards delivered in it.
    `info` tells of the request to decide: `seed`, `round`, `evaluation` (of this task type), `clock`
    (the evaluation by which drift goes), `task_name`, `index` (its row of the population), `uniform`
    (for `policies.decide`) and `action_mask` ((actions,) 1 where this world can answer); and, after
    a step, of the round just played: `parameters`, `outcome` (its parts), `expected` (expected reward
    of the action), `oracle` (the best there was); and of the post: `delivered` ((a,) rounds whose rewards
    came, -1 for none), `delivered_reward` ((a,) those rewards), `pending` (how many wait), and at the
    end `censored` (how many will never be seen).

    Raises:
        ConfigError: no such preset, drift or feedback (the nearest name is given).
        ValueError: a horizon, master seed or render mode that cannot be used; drift beside a scenario.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 4}

    def __post_init__(self) -> None:
        """Build what the settings say."""
        self._stage = stage(self, self.metadata["render_modes"])
        self.scenario, self.n_rounds = self._stage.scenario, self._stage.n_rounds
        self.observation_space, self.action_space = self._stage.observation, self._stage.action
        self._truth = Oracle(self.scenario) if self.oracle else None
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
        drawn = seed_of("seed", int(self.np_random.integers(MAX_SEED)) if seed is None else seed)
        clock, noise = start(len(self.scenario.population.names)), self._noise(drawn, 0)
        context = draw(self.scenario.traffic, clock, noise.context[0])
        self._episode = _Episode(drawn, noise, 0, clock, self._stage.mailbox(), context)
        self._tell(self._stage.opening(drawn))
        return self._observed(self._episode)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, Info]:
        """Play one round.

        Raises:
            TypeError: an action that is no integer, or no integer coordinates.
            ValueError: an action outside the grid, or never recorded for this task type.
            ResetNeeded: no episode has begun, or it is over.
        """
        here = self._episode
        if here is None or here.clock.rounds >= self.n_rounds:
            raise gymnasium.error.ResetNeeded(f"{self._line}; call reset() before step()")
        chosen = self._chosen(action, int(here.context.task))
        reward, arrived, played = self._play(here, chosen)
        clock, (noise, begin) = advance(here.clock, here.context.task), here[1:3]
        if clock.rounds - begin == BLOCK:
            noise, begin = self._noise(here.seed, int(clock.rounds)), int(clock.rounds)
        context = draw(self.scenario.traffic, clock, noise.context[clock.rounds - begin])
        self._episode = after = _Episode(here.seed, noise, begin, clock, arrived[0], context)
        is_over = bool(clock.rounds >= self.n_rounds)
        post = _post(arrived[1], is_over=is_over)
        self._tell(self._sentence(here, int(chosen), played=played, reward=reward, pending=post["pending"]))
        observation, info = self._observed(after)
        return observation, float(np.sum(arrived[1].rewards)), False, is_over, info | played | post

    def render(self) -> str | None:
        """The last round in one line; `human` prints it as it happens and returns nothing."""
        return self._line if self.render_mode == "ansi" else None

    def _noise(self, seed: int, begin: int) -> RoundNoise:
        """A block of rounds in NumPy."""
        where = (np.array([seed], np.int32), np.array([begin], np.int32))
        drawn: RoundNoise = jax.tree.map(
            lambda leaf: np.asarray(leaf)[0], block(self.master_seed, *where, world=self.scenario.world)
        )
        return drawn

    def _chosen(self, action: Any, task: int) -> np.int32:
        """The action as an id, or the reason why it is none."""
        given = np.asarray(action)
        batched = given[None] if given.dtype.kind in "iu" else given  # whatever else is refused as it came
        chosen: np.int32 = self._stage.ids(batched, np.array([task]))[0]
        return chosen

    def _play(self, here: _Episode, chosen: Any) -> tuple[float, tuple[Mailbox, Delivery], Info]:
        """The round's own reward, what the post brought, and `info` on the round."""
        world, params, row = self.scenario.world, self.scenario.params, here.clock.rounds - here.begin
        t, index, noise = now(here.clock), here.context.index, here.noise
        drawn = Noise(noise.outcome.uniform[row], noise.outcome.normal[row])
        outcome, reward = world.outcome(params, t, here.context, chosen, noise=drawn)
        mean = world.expected(params, t, index, np.reshape(chosen, (1,)))[1][0]
        sent = {"now": here.clock.rounds, "uniform": noise.feedback[row], "reward": reward}
        arrived = deliver(self._stage.form, self._stage.fates, here.box, **sent)
        played: Info = {
            "parameters": self.scenario.lattice.parameters(int(chosen)),
            "outcome": {name: float(part) for name, part in zip(Outcome._fields, outcome, strict=True)},
            "expected": float(mean),
        }
        if self._truth is not None:
            played["oracle"] = self._truth.best(int(t), int(index))
        return float(reward), arrived, played

    def _observed(self, episode: _Episode) -> tuple[Observation, Info]:
        task, clock = int(episode.context.task), episode.clock
        observation = {"context": np.array(episode.context.features, np.float64), "task": np.int64(task)}
        info: Info = {
            "seed": episode.seed,
            "round": int(clock.rounds),
            "evaluation": int(clock.seen[task]),
            "clock": int(now(clock)),
            "task_name": self.scenario.population.names[task],
            "index": int(episode.context.index),
            "uniform": int(episode.noise.decision[clock.rounds - episode.begin]),
            "action_mask": self.scenario.recorded[task].astype(np.int8),
        }
        return observation, info

    def _sentence(self, here: _Episode, chosen: int, *, played: Info, reward: float, pending: int) -> str:
        if self.render_mode is None:
            return f"round {int(here.clock.rounds)} of {self.n_rounds}"
        task, t = int(here.context.task), int(now(here.clock))
        quality, best = played["outcome"]["quality"], played.get("oracle")
        seen = int(here.clock.seen[task])
        return self._stage.sentence(
            Played(task, seen, t, chosen, quality, reward, played["expected"], best, pending)
        )  # fmt: skip

    def _tell(self, line: str) -> None:
        self._line = line
        if self.render_mode == "human":
            print(line)


def _post(arrived: Delivery, *, is_over: bool) -> Info:
    info: Info = {
        "delivered": np.array(arrived.rounds, np.int64),
        "delivered_reward": np.array(arrived.rewards, np.float64),
        "pending": int(arrived.pending),
    }
    return info | {"censored": info["pending"]} if is_over else info


def preset_id(preset: str) -> str:
    """The short id of a preset.

    >>> preset_id("gsm8k_small")
    'guardband/gsm8k_small-v0'
    """
    return f"guardband/{preset}-v0"


def _register(name: str, kwargs: dict[str, Any]) -> None:
    if name not in gymnasium.registry:
        vector = "envs.gym_vector:LLMOutcomeVector"
        gymnasium.register(name, entry_point="envs.gym:LLMOutcome", vector_entry_point=vector, kwargs=kwargs)


_register(ENV_ID, {})
for _name in presets.simulated():
    _register(preset_id(_name), {"preset": _name})
