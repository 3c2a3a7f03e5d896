"""Who asks next: task types in turn or by their mix, and a task of the type's finite population.

The same for every world, so that a shift of the task mix or of the prompts can be combined
with any surface, also with recorded outcomes. Everything is a function of the clock and of
three uniforms; the exact probability of every task at every moment is `weights_at`.
Source: Walker (1977), the alias method, for tilted populations; Lin (1991) for the divergence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace, set_row
from envs.drift import SHAPES, Params, intensity
from envs.targets import nearest, refuse
from envs.tasks import FeatureSpec, TaskFeatures

__all__ = [
    "Clock",
    "Context",
    "Population",
    "Traffic",
    "advance",
    "divergence",
    "draw",
    "now",
    "start",
    "traffic",
    "weights_at",
]

Floats = NDArray[np.float64]
HALVINGS = 80  # of the tilt's strength between its ends
STRONGEST = 64.0  # tilt per standard deviation of the feature


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


class Context(NamedTuple):
    """One request: its task's row in the population, its task type, its context vector (d,), its hidden difficulty."""

    index: Array
    task: Array
    features: Array
    level: Array


class Clock(NamedTuple):
    """Rounds so far, () and of each task type (tasks,)."""

    rounds: Array
    seen: Array


class Shifts(NamedTuple):
    """The components that move traffic, (c,) each with what they move to; none has leading axis 0."""

    shape: Array
    onset: Array
    duration: Array
    share: Array  # of the traffic that moves, (c,)
    target: Array  # (c, tasks) where to; or (c, n) keep probability of Walker's table
    alias: Array  # (c, n) row taken otherwise; (c, 0) for the task mix


class Traffic(NamedTuple):
    """Leaves: (n, d) contexts of n tasks sorted by task type, (tasks,) first row, count and share of each."""

    features: Array
    first: Array
    count: Array
    mix: Array
    levels: Array  # () hidden difficulty levels
    mixing: Shifts
    tilting: Shifts
    tilted: Array  # (c, n) probability of each task within its type at full tilt


def start(n_tasks: int) -> Clock:
    """Before the first round."""
    return Clock(np.int32(0), np.zeros(n_tasks, np.int32))


def advance(clock: Clock, task: Array) -> Clock:
    """One round of a task type later."""
    return Clock(clock.rounds + np.int32(1), set_row(clock.seen, task, clock.seen[task] + np.int32(1)))


def now(clock: Clock) -> Array:
    """() the evaluation that drift is told by: rounds // task types."""
    return clock.rounds // np.int32(clock.seen.shape[0])


def _levels(shifts: Shifts, t: Array) -> Array:
    level = intensity(shifts.shape, shifts.onset, shifts.duration, t=t)
    return namespace(level).astype(level, shifts.share.dtype) * shifts.share


def _mix(who: Traffic, t: Array) -> Array:
    """(tasks,) shares of the task types at evaluation t."""
    xp, shares = namespace(who.mix), who.mix
    level = _levels(who.mixing, t)
    for i in range(who.mixing.share.shape[0]):
        shares = (1.0 - level[i]) * shares + level[i] * who.mixing.target[i]
    return shares / xp.sum(shares)


def _index(who: Traffic, t: Array, task: Array, uniform: Array) -> Array:
    """() row of a task of the type: uniform over its rows, or from the tilted distribution by its share."""
    xp = namespace(who.features)
    first, count = who.first[task], xp.astype(who.count[task], uniform.dtype)

    def place(u: Array) -> Array:
        return xp.astype(xp.floor(u * count), xp.int32)

    index = first + xp.minimum(place(uniform), who.count[task] - 1)
    if not who.tilting.share.shape[0]:
        return index
    level = _levels(who.tilting, t)[0]
    is_tilted = uniform < level
    rest = (uniform - level) / xp.where(level < 1.0, 1.0 - level, 1.0)
    inner = xp.where(is_tilted, uniform / xp.where(level > 0.0, level, 1.0), rest)
    inner = xp.clip(inner, 0.0, 1.0 - 2.0**-24)
    row = first + xp.minimum(place(inner), who.count[task] - 1)
    left = inner * count - xp.floor(inner * count)
    other = xp.where(left < who.tilting.target[0][row], row, who.tilting.alias[0][row])
    return xp.where(is_tilted, other, row)


def draw(who: Traffic, clock: Clock, uniform: Array, *, by_mix: bool = False) -> Context:
    """The next request.

    Args:
        who: the traffic.
        clock: rounds so far.
        uniform: (3,) in [0, 1).
        by_mix: draw the task type by its share even where task types take turns (a log of traffic).
    """
    xp, t, n_tasks = namespace(who.features), now(clock), who.first.shape[0]
    task = clock.rounds % np.int32(n_tasks)
    if by_mix or who.mixing.share.shape[0]:
        edges = xp.cumulative_sum(_mix(who, t))
        task = xp.minimum(xp.sum(xp.astype(edges <= uniform[0], xp.int32), dtype=xp.int32), np.int32(n_tasks - 1))
    index = _index(who, t, task, uniform[1])
    level = xp.astype(xp.floor(uniform[2] * who.levels), xp.int32)
    return Context(index, task, who.features[index], level)


def weights_at(who: Traffic, t: int) -> Floats:
    """(n,) exact probability of each task at evaluation t, sums to 1 (NumPy)."""
    task = np.repeat(np.arange(len(who.first)), who.count)
    within = 1.0 / np.asarray(who.count, np.float64)[task]
    if len(who.tilted):
        level = _levels(who.tilting, np.int32(t))[0]
        within = (1.0 - level) * within + level * who.tilted[0]
    return np.asarray(_mix(who, np.int32(t))[task] * within)


def divergence(p: Floats, q: Floats) -> float:
    """Jensen-Shannon divergence of two distributions (n,), in bits, 0..1.

    >>> divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    middle = (p + q) / 2.0

    def half(of: Floats) -> float:
        held = of > 0
        return float(np.sum(of[held] * np.log2(of[held] / middle[held]))) / 2.0

    return half(p) + half(q)


def _tilt(values: Floats, bits: float, where: str) -> Floats:
    """(m,) the distribution proportional to exp(strength * value) that diverges from the uniform by `bits`."""
    even = np.full(len(values), 1.0 / len(values))
    spread = float(values.std())
    scaled = (values - values.max()) / (spread or 1.0)

    def tilted(strength: float) -> Floats:
        raw = np.exp(strength * scaled)
        return np.asarray(raw / raw.sum())

    most = divergence(even, tilted(STRONGEST))
    if not most > bits:
        need = f"at most {most:.3f} bits, all that the tasks' values of this feature allow"
        raise refuse(where, bits, need)
    low, high = 0.0, STRONGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if divergence(even, tilted(middle)) < bits else (low, middle)
    return tilted(low)


def _walker(probability: Floats, first: int) -> tuple[Floats, NDArray[np.int32]]:
    """(m,) keep probability and other row of Walker's table; rows are counted from `first`."""
    scaled = probability * len(probability)
    keep, other = np.ones(len(scaled)), np.arange(len(scaled), dtype=np.int32)
    small, large = list(np.flatnonzero(scaled < 1.0)), list(np.flatnonzero(scaled >= 1.0))
    while small and large:
        less, more = small.pop(), large[-1]
        keep[less], other[less] = scaled[less], more
        scaled[more] -= 1.0 - scaled[less]
        if scaled[more] < 1.0:
            small.append(large.pop())
    return keep, other + np.int32(first)


def _shifts(components: Sequence[Params], share: list[float], target: Array, alias: Array) -> Shifts:
    return Shifts(
        np.array([SHAPES.index(c.shape) for c in components], np.int32),
        np.array([c.onset for c in components], np.int32),
        np.array([c.duration for c in components], np.int32),
        np.array(share, np.float64),
        target,
        alias,
    )


def _mixing(names: tuple[str, ...], components: Sequence[Params]) -> Shifts:
    movers = [c for c in components if c.task_mix > 0 and len(names) > 1]
    target = np.zeros((len(movers), len(names)))
    for i, mover in enumerate(movers):
        name = mover.toward or names[0]
        if name not in names:
            need = f"a task type of this world: {', '.join(names)}{nearest(name, names)}"
            raise refuse("drift.NAME.toward", name, need)
        target[i, names.index(name)] = 1.0
    return _shifts(movers, [c.task_mix for c in movers], target, np.zeros((len(movers), 0), np.int32))


def _tilting(
    features: Floats, names: tuple[str, ...], spans: list[tuple[int, int]], components: Sequence[Params]
) -> tuple[Shifts, Floats]:
    movers = [c for c in components if c.prompt_divergence > 0]
    if len(movers) > 1:
        raise refuse(
            "drift.NAME.prompt_divergence", [c.prompt_divergence for c in movers], "one component that moves prompts"
        )
    keep, other = np.zeros((len(movers), len(features))), np.zeros((len(movers), len(features)), np.int32)
    tilted = np.zeros((len(movers), len(features)))
    for mover in movers:
        if mover.prompt_feature not in names:
            need = f"an entry of the context: {', '.join(names)}{nearest(mover.prompt_feature, names)}"
            raise refuse("drift.NAME.prompt_feature", mover.prompt_feature, need)
        column = features[:, names.index(mover.prompt_feature)]
        for begin, end in spans:
            held = _tilt(column[begin:end], mover.prompt_divergence, "drift.NAME.prompt_divergence")
            tilted[0, begin:end] = held
            keep[0, begin:end], other[0, begin:end] = _walker(held, begin)
    return _shifts(movers, [1.0] * len(movers), keep, other), tilted


def traffic(population: Population, *, drift: Sequence[Params] = (), levels: int = 1) -> Traffic:
    """The traffic of a population under some drift.

    Args:
        population: the tasks.
        drift: components; those that leave the traffic alone are ignored.
        levels: hidden difficulty levels of every task.

    Raises:
        ConfigError: a task type or feature that is not there, or a divergence that cannot be reached.
    """
    first, count = population.first, population.count
    spans = [(int(f), int(f + c)) for f, c in zip(first, count, strict=True)]
    tilting, tilted = _tilting(population.features, population.spec.names, spans, drift)
    return Traffic(
        features=population.features,
        first=first,
        count=count,
        mix=population.mix,
        levels=np.float64(levels),
        mixing=_mixing(population.names, drift),
        tilting=tilting,
        tilted=tilted,
    )
