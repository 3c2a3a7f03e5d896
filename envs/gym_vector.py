"""Many episodes at once: the environment of `envs.gym` with a leading axis, played by one compiled program.

`gymnasium.make_vec("guardband/LLMOutcome-v0", num_envs=64, preset="gsm8k_small")`. The program is
compiled once for every world structure, number of environments and feedback; afterwards a step of
64 episodes costs about as much as one step of a plain environment. Memory does not grow with the
horizon. Observations, rewards and infos are those of `gymnasium.vector.SyncVectorEnv` around the plain ones.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.gym_lanes import Asked, Program, Round, ask, fresh_lane, numbers_of, play, renewed
from envs.gym_noise import BLOCK, block, own_jax
from envs.gym_stage import MAX_SEED, Oracle, Played, Settings, seed_of, stage
from envs.lattice import MODEL, Lattice
from envs.world import Outcome

__all__ = ["LLMOutcomeVector"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
Seeds = Sequence[int | None]
Observation = dict[str, Any]
Info = dict[str, Any]


def _host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def _pack(columns: Info, mask: Bools) -> Info:
    """Gymnasium's form of vector infos: blank where the mask is off, and the mask as `_key`; nothing for nobody."""
    packed: Info = {}
    for name, column in columns.items() if mask.any() else ():
        packed[name] = _pack(column, mask) if isinstance(column, dict) else _blanked(column, mask)
        packed[f"_{name}"] = mask.copy()
    return packed


def _blanked(column: NDArray[Any], mask: Bools) -> NDArray[Any]:
    kept = np.array(column)
    kept[~mask] = None if kept.dtype == object else 0
    return kept


def _columns(lattice: Lattice) -> dict[str, tuple[int, NDArray[Any]]]:
    """Place and values of every axis that `Lattice.parameters` tells, as it types them."""
    kinds = {"max_tokens": np.int64, MODEL: np.object_}
    told = {axis.name: (i, axis) for i, axis in enumerate(lattice.axes) if any(axis.values)}
    return {name: (i, np.array(axis.values).astype(kinds.get(name, np.float64))) for name, (i, axis) in told.items()}


@dataclass(eq=False, repr=False)
class LLMOutcomeVector(Settings, VectorEnv[Observation, Any, NDArray[Any]]):
    """`num_envs` episodes of `envs.gym.LLMOutcome` at once; settings, spaces and infos as there.

    Attributes:
        num_envs: episodes played side by side.
        autoreset_mode: `NextStep`: the step after an end ignores its action and begins the next
            episode, with reward 0. `SameStep`: the end and the next beginning come together; `final_obs`
            and `final_info` hold the end. `Disabled`: the caller resets with `options["reset_mask"]`.
        oracle: as there, but off: it is no part of the compiled program.

    Raises:
        ConfigError: as `LLMOutcome`.
        ValueError: as `LLMOutcome`; fewer than one environment, or an unknown mode.
    """

    num_envs: int = 1
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP
    oracle: bool = False

    def __post_init__(self) -> None:
        """Build what the settings say."""
        if self.num_envs < 1:
            raise ValueError(f"num_envs = {self.num_envs}, need at least 1")
        self.autoreset_mode = AutoresetMode(self.autoreset_mode)
        self.metadata = {"render_modes": ["ansi", "human"], "autoreset_mode": self.autoreset_mode}
        self._stage = stage(self, self.metadata["render_modes"])
        self.scenario, self.n_rounds = self._stage.scenario, self._stage.n_rounds
        self.single_observation_space, self.single_action_space = self._stage.observation, self._stage.action
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._truth = Oracle(self.scenario) if self.oracle else None
        self._values = _columns(self.scenario.lattice)
        self._program = Program(self.scenario.world, self._stage.form)
        with own_jax():
            self._numbers, self._fresh = numbers_of(self._stage), fresh_lane(self._stage)
            self._lanes = jax.tree.map(lambda leaf: jnp.stack([leaf] * self.num_envs), self._fresh)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._seeds, self._rounds, self._begins = (np.full(self.num_envs, v, np.int32) for v in (-1, 0, 0))
        self._over = np.zeros(self.num_envs, np.bool_)
        self._lines = ["no episode yet: call reset()"] * self.num_envs

    def reset(self, *, seed: int | Seeds | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        """Begin episodes.

        Args:
            seed: of the first environment, the others count on from it; or one for each; None draws
                them from the generators of the last ones.
            options: `reset_mask`, (n,) bool: which environments; all where it is left out.

        Raises:
            TypeError: a mask that is no array of booleans.
            ValueError: a seed outside 0 .. 2^31 - 1; seeds or a mask of another length; an empty mask.
            ResetNeeded: the first reset leaves environments out.
        """
        mask = self._mask((options or {}).get("reset_mask"))
        if (self._seeds[~mask] < 0).any():
            raise gymnasium.error.ResetNeeded("the first reset has to begin all episodes: leave out reset_mask")
        self._begin(mask, self._listed(seed))
        return self._observed(), _pack(self._request(), mask)

    def step(self, actions: Any) -> tuple[Observation, NDArray[Any], Bools, Bools, Info]:
        """Play one round of every episode.

        Args:
            actions: (n,) ids, or (n, axes) coordinates.

        Raises:
            TypeError: actions that are no integers, or of another shape.
            ValueError: an action outside the grid, or never recorded for its task type.
            ResetNeeded: no episode has begun; or one is over and resets are the caller's.
        """
        over, everyone = self._over.copy(), np.ones(self.num_envs, np.bool_)
        if (self._seeds < 0).any() or (self.autoreset_mode is AutoresetMode.DISABLED and over.any()):
            late = f"episodes {np.flatnonzero(over).tolist()} are over" if over.any() else self._lines[0]
            raise gymnasium.error.ResetNeeded(f"{late}; call reset() before step()")
        before = self._asked
        chosen = self._stage.ids(actions, np.where(over, -1, before.context.task))
        if over.any():
            self._begin(over, [None] * self.num_envs)
        played = self._played(np.where(over, np.int32(-1), chosen))
        ended = self._rounds >= self.n_rounds
        told = self._told(chosen, before, played)
        self._show(chosen, before, told | {"reward": played.reward}, over)
        end = {"censored": played.arrived.pending.astype(np.int64)}
        final: Info = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            final = self._final(ended, self._request() | told | end)
            self._begin(ended, [None] * self.num_envs)
            over, end = ended, {}
        self._over = ended & (self.autoreset_mode is not AutoresetMode.SAME_STEP)
        infos = _pack(self._request(), everyone) | _pack(told, ~over) | _pack(end, ended) | final
        rewards = np.where(played.is_played, played.arrived.rewards.sum(axis=1), 0.0)
        return self._observed(), rewards, ~everyone, ended, infos

    def render(self) -> tuple[str, ...] | None:
        """The last round of every episode, a line each; `human` prints it as it happens and returns nothing."""
        return tuple(self._lines) if self.render_mode == "ansi" else None

    def _mask(self, given: object) -> Bools:
        if given is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(given, np.ndarray) or given.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] = {given!r}, need a NumPy array of booleans")
        if given.shape != (self.num_envs,) or not given.any():
            need = f"({self.num_envs},) with at least one True"
            raise ValueError(f"options['reset_mask'] has shape {given.shape} and {given.sum()} True, need {need}")
        return given

    def _listed(self, seed: int | Seeds | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if not isinstance(seed, Sequence | np.ndarray):
            return [operator.index(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds, need {self.num_envs}: one for each environment")
        return [None if one is None else operator.index(one) for one in seed]

    def _begin(self, mask: Bools, seeds: list[int | None]) -> None:
        """Fresh episodes where the mask says so; a seed for each, None draws it."""
        wanted = [None if seed is None else seed_of("seed", seed) for seed in seeds]
        for i in np.flatnonzero(mask):
            generator, given = self._generators[i], wanted[i]
            if generator is None or given is not None:
                generator = self._generators[i] = seeding.np_random(given)[0]
            self._seeds[i] = int(generator.integers(MAX_SEED)) if given is None else given
            self._tell(int(i), self._stage.opening(int(self._seeds[i])))
        self._rounds[mask], self._over[mask] = 0, False
        with own_jax():
            self._lanes = renewed(self._lanes, self._fresh, mask)
        self._refill()
        with own_jax():
            self._asked: Asked = _host(ask(self._numbers, self._lanes, self._noise, self._rounds - self._begins))

    def _refill(self) -> None:
        """Noise for the next rounds of every episode."""
        self._begins = self._rounds.copy()
        self._noise = block(self.master_seed, self._seeds, self._begins, world=self.scenario.world)

    def _played(self, actions: Ints) -> Round:
        """One round in every episode whose action is not negative."""
        if (self._rounds - self._begins).max() >= BLOCK - 1:  # the request after this round needs a row too
            self._refill()
        rows = self._rounds - self._begins
        with own_jax():
            out = play(self._program, self._numbers, self._lanes, self._noise, rows, actions=actions)
        self._lanes, (played, self._asked) = out[0], _host(out[1:])
        self._rounds += played.is_played
        round_played: Round = played
        return round_played

    def _final(self, ended: Bools, columns: Info) -> Info:
        """Gymnasium's `final_obs` and `final_info` of the episodes that ended."""
        last, kept = self._observed(), np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            kept[i] = {"context": last["context"][i], "task": last["task"][i]}
        return {
            "final_obs": kept,
            "_final_obs": ended.copy(),
            "final_info": _pack(columns, ended),
            "_final_info": ended.copy(),
        }

    def _observed(self) -> Observation:
        context = self._asked.context
        return {"context": np.array(context.features, np.float64), "task": context.task.astype(np.int64)}

    def _request(self) -> Info:
        """Columns on the requests to decide."""
        asked, task = self._asked, self._asked.context.task
        return {
            "seed": self._seeds.astype(np.int64),
            "round": self._rounds.astype(np.int64),
            "evaluation": asked.evaluation.astype(np.int64),
            "clock": asked.t.astype(np.int64),
            "task_name": np.array(self.scenario.population.names, object)[task],
            "index": asked.context.index.astype(np.int64),
            "uniform": asked.uniform.astype(np.int64),
            "action_mask": self.scenario.recorded[task].astype(np.int8),
        }

    def _told(self, chosen: Ints, before: Asked, played: Round) -> Info:
        """Columns on the round just played."""
        points, arrived = self.scenario.lattice.decode(chosen), played.arrived
        columns: Info = {
            "parameters": {name: values[points[:, axis]] for name, (axis, values) in self._values.items()},
            "outcome": dict(zip(Outcome._fields, played.outcome, strict=True)),
            "expected": played.expected,
        }
        if self._truth is not None:
            where = zip(before.t.tolist(), before.context.index.tolist(), strict=True)
            columns["oracle"] = np.array([self._truth.best(t, index) for t, index in where])
        return columns | {
            "delivered": arrived.rounds.astype(np.int64),
            "delivered_reward": arrived.rewards,
            "pending": arrived.pending.astype(np.int64),
        }

    def _show(self, chosen: Ints, before: Asked, told: Info, over: Bools) -> None:
        """Put the round just played into words, where somebody will read them."""
        if self.render_mode is None:
            return
        for i in np.flatnonzero(~over):
            task, seen, t = (int(leaf[i]) for leaf in (before.context.task, before.evaluation, before.t))
            quality, best = float(told["outcome"]["quality"][i]), told.get("oracle")
            numbers = (float(told["reward"][i]), float(told["expected"][i]))
            oracle, pending = None if best is None else float(best[i]), int(told["pending"][i])
            played = Played(task, seen, t, int(chosen[i]), quality, *numbers, oracle, pending)
            self._tell(int(i), self._stage.sentence(played))

    def _tell(self, episode: int, line: str) -> None:
        self._lines[episode] = line
        if self.render_mode == "human":
            print(f"{episode}: {line}")
