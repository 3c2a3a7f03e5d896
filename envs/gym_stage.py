"""What the Gymnasium environment and its vectorised twin share: settings, spaces, delivery, truth, wording."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs import feedback as mail
from envs import presets
from envs.arrays import Array, namespace, set_row
from envs.drift import Params, check_onsets, drift, intensity, moves_outcomes
from envs.tasks import CLIP
from envs.world import Scenario

__all__ = ["MAX_SEED", "Delivery", "Mailbox", "Oracle", "Played", "Settings", "Stage", "deliver", "seed_of", "stage"]

MAX_SEED = 2**31 - 1
MAX_HORIZON = 1_000_000


@dataclass(eq=False, repr=False)
class Settings:
    """What an environment is made of; all but `preset` by keyword.

    Attributes:
        preset: a choice of configs/world, or a scenario that was built otherwise.
        drift: a choice of configs/drift, or several, which compose. A scenario brings its own.
        feedback: a choice of configs/feedback, or its numbers.
        horizon: evaluations of every task type, after which an episode is truncated.
        master_seed: another one makes other episodes of every seed.
        render_mode: None, "ansi" or "human".
        oracle: whether `info` tells the best expected reward there was; costs a scan of the lattice
            for every context met.
        coordinates: actions are lattice coordinates, one integer per axis, instead of ids.
    """

    preset: str | Scenario = "gsm8k_small"
    _: KW_ONLY
    drift: str | Sequence[str] = "none"
    feedback: str | mail.Params = "immediate"
    horizon: int = 200
    master_seed: int = 0
    render_mode: str | None = None
    oracle: bool = True
    coordinates: bool = False


class Mailbox(NamedTuple):
    """What is pending, and (rows,) the rewards that wait there."""

    ring: mail.Ring
    rewards: Array


class Delivery(NamedTuple):
    """What arrived in one round: (a,) rounds it is of (-1: none), (a,) rewards; () how many still wait."""

    rounds: Array
    rewards: Array
    pending: Array


class Played(NamedTuple):
    """One round in words and numbers, for `Stage.sentence`."""

    task: int
    evaluation: int
    t: int
    action: int
    quality: float
    reward: float
    expected: float
    oracle: float | None
    pending: int


def deliver(
    form: mail.Spec, fates: mail.Leaves, box: Mailbox, *, now: Array, uniform: Array, reward: Array
) -> tuple[Mailbox, Delivery]:
    """Send the reward of round `now` and take what arrives in it; the compiled run's rule, in either engine.

    Args:
        form: static facts.
        fates: as `envs.feedback.leaves`.
        box: what was pending.
        now: () round.
        uniform: (3,) the round's `RoundNoise.feedback`.
        reward: () of the round.
    """
    xp, what = namespace(reward), mail.fate(form, fates, uniform)
    if form.rows == 1:
        is_here = what.delay[0:1] == 0
        none = xp.zeros_like(what.delay[0:1])
        return box, Delivery(xp.where(is_here, now, none - 1), xp.where(is_here, reward, 0.0), none[0])
    ring = mail.store(form, box.ring, now, mail.kept(fates, what))
    rewards = set_row(box.rewards, now % np.int32(form.rows), reward)
    rounds, arrived = [], []
    for _ in range(form.arrivals):
        ring, taken = mail.take(form, ring, now)
        rounds.append(taken.round)
        arrived.append(xp.where(taken.round >= 0, rewards[taken.row], 0.0))
    pending = xp.sum(xp.astype(ring.due < mail.NEVER, xp.int32), dtype=xp.int32)
    return Mailbox(ring, rewards), Delivery(xp.stack(rounds), xp.stack(arrived), pending)


class Oracle:
    """The best expected reward of a context, computed once for every state of the drift in which it is met."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._moving = drift([c for c in scenario.drift if moves_outcomes(c)])
        self._ids = np.arange(scenario.lattice.size, dtype=np.int32)
        self._known: dict[tuple[bytes, int], float] = {}
        self._state = (-1, b"")

    def best(self, t: int, index: int) -> float:
        """Of all recorded actions for a row of the population at evaluation t."""
        if t != self._state[0]:
            shape, onset, duration, _ = self._moving
            self._state = (t, intensity(shape, onset, duration, t=np.int32(t)).tobytes())
        key = (self._state[1], index)
        if key not in self._known:
            here = self._scenario
            rewards = here.world.expected(here.params, np.int32(t), np.int32(index), self._ids)[1]
            self._known[key] = float(np.max(rewards[here.recorded[here.population.task[index]]]))
        return self._known[key]


@dataclass(frozen=True, eq=False)
class Stage:
    """Settings, ready to play on.

    Attributes:
        scenario: the world.
        components: names of what drifts, in the order of `scenario.drift`.
        n_rounds: length of an episode.
        form: static facts of the feedback.
        fates: its numbers.
        coordinates: whether actions are lattice coordinates.
        observation: space of one request.
        action: space of one action.
    """

    scenario: Scenario
    components: tuple[str, ...]
    n_rounds: int
    form: mail.Spec
    fates: mail.Leaves
    coordinates: bool
    observation: spaces.Dict
    action: spaces.Discrete | spaces.MultiDiscrete

    def mailbox(self) -> Mailbox:
        """Nothing pending."""
        return Mailbox(mail.empty(self.form), np.zeros(self.form.rows))

    def ids(self, actions: Any, task: NDArray[np.int64]) -> NDArray[np.int32]:
        """(n,) ids of n actions, checked.

        Args:
            actions: (n,) ids, or (n, axes) lattice coordinates.
            task: (n,) task type of each request; -1: the action is not looked at.

        Raises:
            TypeError: not integers, or of another shape.
            ValueError: outside the grid, or never recorded for the task type.
        """
        lattice, given = self.scenario.lattice, np.asarray(actions)
        tops = np.array(lattice.shape if self.coordinates else [lattice.size])
        width = (len(task), len(tops))[: 1 + self.coordinates]
        kind = f"{len(tops)} integer coordinates" if self.coordinates else f"an integer id, 0 <= id < {lattice.size}"
        if given.dtype.kind not in "iu" or given.shape != width:
            raise TypeError(f"action = {actions!r}, need {kind}{f' for each of {len(task)}' if len(task) > 1 else ''}")
        rows = given.reshape(len(task), -1).astype(np.int64)
        seen = task >= 0
        wrong = np.argwhere(((rows < 0) | (rows >= tops)) & seen[:, None])
        if wrong.size:
            row, column = wrong[0]
            where = f" on axis {lattice.axes[column].name}" if self.coordinates else ""
            need = f"need 0 <= action < {tops[column]}{where}"
            raise ValueError(f"action {rows[row, column]} lies outside the grid, {need}")
        chosen = np.where(seen, lattice.encode(rows) if self.coordinates else rows[:, 0], 0).astype(np.int32)
        self._check_recorded(chosen, task)
        return chosen

    def _check_recorded(self, chosen: NDArray[np.int32], task: NDArray[np.int64]) -> None:
        missing = np.flatnonzero((task >= 0) & ~self.scenario.recorded[task, chosen])
        if missing.size:
            action, name = int(chosen[missing[0]]), self.scenario.population.names[task[missing[0]]]
            where = f"action {action}, {self.scenario.lattice.parameters(action)}, was never recorded"
            raise ValueError(f"{where} for task type {name!r}; need one where info['action_mask'] is 1")

    def drifting(self, t: int) -> dict[str, float]:
        """Intensity of every component that acts at evaluation t, by name."""
        named = dict(zip(self.components, self.scenario.drift, strict=True))
        acting = {name: one for name, one in named.items() if one != Params()}
        shape, onset, duration, _ = drift(list(acting.values()))
        levels = intensity(shape, onset, duration, t=np.int32(t)).tolist()
        return {name: level for name, level in zip(acting, levels, strict=False) if level > 0}

    def opening(self, seed: int) -> str:
        """The line before the first round: how long, for whom, and when which drift begins."""
        named = zip(self.components, self.scenario.drift, strict=True)
        begins = ", ".join(f"{name} from evaluation {one.onset}" for name, one in named if one != Params())
        ahead = f"; drift {begins}" if begins else ""
        return f"seed {seed}: {self.n_rounds} rounds of {', '.join(self.scenario.population.names)}{ahead}"

    def sentence(self, played: Played) -> str:
        """A round in one line."""
        lattice, name = self.scenario.lattice, self.scenario.population.names[played.task]
        point, moving = lattice.parameters(played.action), [a.name for a in lattice.axes if len(a.values) > 1]
        words = [f"{axis} {value:g}" if not isinstance(value := point[axis], str) else value for axis in moving]
        best = "" if played.oracle is None else f", best {played.oracle:.3f}"
        got = f"quality {played.quality:.2f}, reward {played.reward:.3f} (expected {played.expected:.3f}{best})"
        line = f"{name}, evaluation {played.evaluation}: {', '.join(words) or 'the only action'} -> {got}"
        acting = ", ".join(f"{name} {level:.2f}" for name, level in self.drifting(played.t).items())
        waiting = f"; {played.pending} rewards pending" if self.form.rows > 1 else ""
        return line + (f"; drift {acting}" if acting else "") + waiting


def seed_of(name: str, value: int) -> int:
    """A seed that JAX's counters take.

    Raises:
        ValueError: outside 0 .. 2^31 - 1.
    """
    if not 0 <= value <= MAX_SEED:
        raise ValueError(f"{name} = {value}, need 0 <= {name} <= {MAX_SEED}")
    return int(value)


def _scenario(settings: Settings) -> tuple[Scenario, tuple[str, ...]]:
    if isinstance(settings.preset, str):
        moved = presets.components(settings.drift)
        check_onsets(moved, horizon=settings.horizon)
        return presets.scenario(settings.preset, drift=settings.drift), tuple(moved)
    if settings.drift not in ("none", [], ()):
        need = "none: a scenario brings its own, give it to `build`"
        raise ValueError(f"drift = {settings.drift!r} with a scenario as preset, need {need}")
    made = settings.preset
    return made, tuple(f"component {i}" for i in range(len(made.drift)))


def stage(settings: Settings, modes: Sequence[str]) -> Stage:
    """Check settings, and build what they say.

    Args:
        settings: of an environment.
        modes: render modes it knows.

    Raises:
        ConfigError: no such preset, drift or feedback (the nearest name is given), or a drift that begins
            after the horizon.
        TypeError: a horizon that is no whole number.
        ValueError: a horizon, master seed or render mode that cannot be used; drift beside a scenario.
    """
    if not isinstance(settings.horizon, int):
        raise TypeError(f"horizon = {settings.horizon!r}, need a whole number of evaluations")
    if not 1 <= settings.horizon <= MAX_HORIZON:
        raise ValueError(f"horizon = {settings.horizon}, need 1 <= horizon <= {MAX_HORIZON} evaluations")
    if settings.render_mode is not None and settings.render_mode not in modes:
        raise ValueError(f"render_mode = {settings.render_mode!r}, need one of {list(modes)} or None")
    seed_of("master_seed", settings.master_seed)
    post = (
        settings.feedback if isinstance(settings.feedback, mail.Params) else presets.load("feedback", settings.feedback)
    )
    assert isinstance(post, mail.Params)
    scenario, components = _scenario(settings)
    n_tasks, width = len(scenario.population.names), scenario.population.features.shape[1]
    action = spaces.MultiDiscrete(list(scenario.lattice.shape)) if settings.coordinates else None
    return Stage(
        scenario=scenario,
        components=components,
        n_rounds=settings.horizon * n_tasks,
        form=mail.spec(post),
        fates=mail.leaves(post),
        coordinates=settings.coordinates,
        observation=spaces.Dict(
            {"context": spaces.Box(-CLIP, CLIP, (width,), np.float64), "task": spaces.Discrete(n_tasks)}
        ),
        action=action or spaces.Discrete(scenario.lattice.size),
    )
