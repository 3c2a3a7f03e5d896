"""A synthetic LLM whose every expectation is known: the calibrated outcome surface.

The formulae are `envs.curves`: quality with a temperature cliff, log-normal lengths,
truncation, latency, cost, failure, for one model or several. Task features move
difficulty, length and the optimum; a hidden difficulty of at most 16 levels spreads
quality between problems without moving any mean. `expected` is exact.
Source: each preset's yaml says what was published, where, and what is assumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import quality_noise
from envs.arrays import Array, namespace
from envs.curves import CUT, Task, failure, heat_of, jitter, jitter_mean, lengths, quality, split, tokens
from envs.curves import Service as ServiceRow
from envs.drift import Drift, Sizes, sizes_at
from envs.drift import Params as DriftParams
from envs.drift import drift as drift_leaves
from envs.lattice import MODEL, Lattice, LatticeRanges, coordinates
from envs.population import Effects, Latent, TaskType, draw_population
from envs.published import Published
from envs.reward import RewardWeights, Weights, reward, weights
from envs.targets import refuse
from envs.traffic import Context, Population, traffic
from envs.world import Noise, Outcome, Scenario, World

__all__ = ["Baseline", "Model", "Numbers", "Params", "Service", "build", "make"]

MAX_LEVELS, MAX_REPLAYS = 16, 4


@dataclass(frozen=True)
class Baseline:
    """Production's current parameters, as decimal strings; must be lattice points. No model: the first listed."""

    temperature: str = "1.0"
    max_tokens: str = "512"
    top_p: str = "1.0"
    frequency_penalty: str = "0"
    presence_penalty: str = "0"
    model: str = ""


@dataclass(frozen=True)
class Service:
    """Prices (USD per million tokens) and latency of the model served; medians and log-normal spreads."""

    input_price: float = field(default=0.2, metadata={"ge": 0.0, "le": 1000.0, "unit": "USD per 1e6 tokens"})
    output_price: float = field(default=1.25, metadata={"ge": 0.0, "le": 1000.0, "unit": "USD per 1e6 tokens"})
    first_token_ms: float = field(default=500.0, metadata={"ge": 0.0, "le": 1e5, "unit": "ms, median"})
    token_ms: float = field(default=15.0, metadata={"ge": 0.0, "le": 1e4, "unit": "ms, median"})
    first_token_jitter: float = field(default=0.2, metadata={"ge": 0.0, "le": 1.5, "unit": "SD of its logarithm"})
    token_jitter: float = field(default=0.1, metadata={"ge": 0.0, "le": 1.5, "unit": "SD of its logarithm"})
    cold_share: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "of calls that start cold"})
    cold_low_ms: float = field(default=20_000.0, metadata={"ge": 0.0, "le": 1e6, "unit": "ms, least"})
    cold_high_ms: float = field(default=70_000.0, metadata={"ge": 0.0, "le": 1e6, "unit": "ms, most"})

    def __post_init__(self) -> None:
        """Refuse a cold start that ends before it begins."""
        if self.cold_high_ms < self.cold_low_ms:
            raise ValueError(f"cold_high_ms = {self.cold_high_ms:g}, need at least cold_low_ms = {self.cold_low_ms:g}")


@dataclass(frozen=True)
class Model:
    """One model among several: how its curves differ from the task types', and its own service."""

    quality_factor: float = field(default=1.0, metadata={"ge": 0.0, "le": 2.0})
    cliff_shift: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0, "unit": "temperature"})
    cliff_width_factor: float = field(default=1.0, metadata={"gt": 0.0, "le": 20.0})
    optimum_shift: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0, "unit": "temperature"})
    length_shift: float = field(default=0.0, metadata={"ge": -3.0, "le": 3.0, "unit": "log tokens"})
    service: Service | None = None  # the world's where it is null


@dataclass(frozen=True)
class Params:
    """A preset: lattice, task types, how task features act, noise, prices and reward.

    Attributes:
        models: by name, in the order in which the trust region walks through them; none: one.
        levels: hidden difficulty levels of a problem; `between` of a task type says how much they matter. Its
            share of the variance is met at 16 levels; fewer spread problems less.
        replays: baseline answers to the same problem that every reward is corrected by (paired mode): a
            control variate of mean zero, so expectations stay and variance falls. 0: none.
        published: numbers that this preset claims to reproduce.
    """

    name: str = "custom"
    lattice: LatticeRanges = field(default_factory=LatticeRanges)
    baseline: Baseline = field(default_factory=Baseline)
    task_types: list[TaskType] = field(default_factory=list)
    effects: Effects = field(default_factory=Effects)
    service: Service = field(default_factory=Service)
    models: dict[str, Model] = field(default_factory=dict)
    reward: RewardWeights = field(default_factory=RewardWeights)
    noise: quality_noise.Params = field(default_factory=quality_noise.Params)
    levels: int = field(default=1, metadata={"ge": 1, "le": MAX_LEVELS})
    replays: int = field(default=0, metadata={"ge": 0, "le": MAX_REPLAYS, "static": True, "unit": "baseline answers"})
    contexts_per_type: int = field(default=128, metadata={"ge": 2, "le": 4096, "static": True})
    population_seed: int = field(default=20260, metadata={"ge": 0, "le": 2**31 - 1})
    published: tuple[Published, ...] = ()


class Spec(NamedTuple):
    """Static facts of a surface: one compilation per value."""

    shape: tuple[int, ...]
    noise: tuple[str, int]  # kind, checks
    replays: int


class Numbers(NamedTuple):
    """Leaves of a surface: (n, fields of `Task`) tasks, (models, fields of `envs.curves.Service`) models."""

    tasks: Array
    axes: tuple[Array, ...]  # (v,) values of each axis
    models: Array
    weights: Array  # (n, fields of `Weights`)
    home: Array  # (n,) baseline action of each task
    levels: Array
    noise: quality_noise.Leaves
    drift: Drift


class Point(NamedTuple):
    """What m actions mean for one task: (m,) each; `service` has (m,) fields where there are several models."""

    quality: Array
    failure: Array
    heat: Array
    max_tokens: Array
    service: ServiceRow


class Scene(NamedTuple):
    """One task at one moment."""

    task: Task
    worth: Weights
    moved: Sizes


def _scene(params: Numbers, t: Array, index: Array) -> Scene:
    row, worth = params.tasks[index], params.weights[index]
    return Scene(Task(*split(row, Task)), Weights(*split(worth, Weights)), sizes_at(params.drift, t))


def _point(spec: Spec, params: Numbers, here: Scene, ids: Array) -> tuple[Point, tuple[Array, ...]]:
    """The point of ids (m,), and its knobs: heat, top_p and penalties."""
    xp = namespace(params.tasks)
    grid = coordinates(spec.shape, ids)
    t, m, p, f, r = (xp.take(axis, grid[..., i], axis=0) for i, axis in enumerate(params.axes))
    rows = xp.take(params.models, grid[..., -1], axis=0) if spec.shape[-1] > 1 else params.models[0]
    service, heat = ServiceRow(*split(rows, ServiceRow)), heat_of(t, p)
    knobs = (heat, p, f, r)
    return Point(
        quality(here.task, service, here.moved, knobs), failure(here.task, here.moved, t), heat, m, service
    ), knobs  # fmt: skip


def _outcome(here: Scene, point: Point, parts: tuple[Array, ...]) -> tuple[Outcome, Array]:
    """Parts and reward from quality, tokens, latency, failure and truncation."""
    made, out, latency, failed, truncated = parts
    service, moved = point.service, here.moved
    price_in = service.input_price * moved.input_price_factor / 1e6
    price_out = service.output_price * moved.output_price_factor / 1e6
    cost = price_in * here.task.input_tokens + price_out * out
    outcome = Outcome(made, out, latency, cost, failed, truncated, point.max_tokens / 4096.0)
    return outcome, reward(here.worth, outcome)


def _cold_share(here: Scene, service: ServiceRow) -> Array:
    return service.cold_share + (1.0 - service.cold_share) * here.moved.cold_share


def _expected(spec: Spec, params: Numbers, t: Array, at: tuple[Array, Array]) -> tuple[Outcome, Array]:
    index, ids = at
    here = _scene(params, t, index)
    point, knobs = _point(spec, params, here, ids)
    service, moved = point.service, here.moved
    whole, over = tokens(lengths(here.task, service, moved, knobs), point.max_tokens)
    answered = 1.0 - point.failure
    made, out = answered * point.quality * (1.0 - here.task.truncation_loss * over), answered * whole
    first = service.first_token_ms * service.first_token_mean * moved.first_token_factor
    each = service.token_ms * service.token_mean * moved.token_factor
    cold = _cold_share(here, service) * (service.cold_low_ms + service.cold_high_ms) / 2.0
    return _outcome(here, point, (made, out, first + each * out + cold, point.failure, answered * over))


def _hard(params: Numbers, task: Task, mean: Array, level: Array) -> Array:
    """Quality of a problem of some difficulty level; the mean over the levels is `mean`, exactly.

    A share of the quality comes in steps: the l-th easiest of L problems is mastered as the mean
    rises from l / L to (l + 1) / L.
    """
    xp = namespace(mean)
    steep, place = xp.sqrt(task.between), xp.astype(level, mean.dtype)
    return (1.0 - steep) * mean + steep * xp.clip(params.levels * mean - place, 0.0, 1.0)


def _correction(spec: Spec, params: Numbers, here: Scene, at: tuple[Array, Context], noise: Noise) -> Array:
    """Control variate of the paired mode: baseline answers to the same problem, minus their mean, times a weight."""
    t, context = at
    home = params.home[context.index].reshape(1)
    many, knobs = _point(spec, params, here, home)
    over = tokens(lengths(here.task, many.service, here.moved, knobs), many.max_tokens)[1][0]
    keep = (1.0 - many.failure[0]) * (1.0 - here.task.truncation_loss * over)
    chance = _hard(params, here.task, many.quality[0], context.level) * keep
    total, first = 0.0 * chance, 2 * (quality_noise.n_normal(spec.noise) > 0)
    for i in range(spec.replays):
        own = noise.normal[3 + first * (i + 1) : 5 + first * (i + 1)]
        drawn = (noise.uniform[5 + i], own)
        total = total + quality_noise.draw(spec.noise, params.noise, chance, heat=many.heat[0], noise=drawn)
    between = here.task.between
    weight = spec.replays * between / (1.0 + (spec.replays - 1.0) * between)
    return here.worth.quality * weight * (total / spec.replays - many.quality[0] * keep)


def _draw(spec: Spec, params: Numbers, t: Array, at: tuple[Context, Array], noise: Noise) -> tuple[Outcome, Array]:
    context, action_id = at
    xp = namespace(params.tasks)
    here = _scene(params, t, context.index)
    many, knobs = _point(spec, params, here, xp.reshape(action_id, (1,)))
    several = spec.shape[-1] > 1
    service = ServiceRow(*(leaf[0] for leaf in many.service)) if several else many.service
    scalars = {name: getattr(many, name)[0] for name in Point._fields[:-1]}
    point = Point(**scalars, service=service)
    long, task, moved = lengths(here.task, many.service, here.moved, knobs), here.task, here.moved
    second = noise.uniform[1] >= long.weight[0]
    centre = xp.where(second, long.centre[0, 1], long.centre[0, 0])
    length = xp.exp(centre + noise.normal[0] * xp.where(second, long.sd[1], long.sd[0]))
    is_cut = length > point.max_tokens
    truncated, whole = xp.where(is_cut, 1.0, 0.0), xp.where(is_cut, point.max_tokens, length)
    failed = xp.where(noise.uniform[0] < point.failure, 1.0, 0.0)
    out = whole * (1.0 - failed)  # a failed call sends nothing and is charged for nothing
    chance = _hard(params, task, point.quality, context.level) * (1.0 - task.truncation_loss * truncated)
    drawn = (noise.uniform[2], noise.normal[3:5])
    made = quality_noise.draw(spec.noise, params.noise, chance, heat=point.heat, noise=drawn) * (1.0 - failed)
    first = service.first_token_ms * moved.first_token_factor * jitter(service.first_token_jitter, noise.normal[1])
    each = service.token_ms * moved.token_factor * jitter(service.token_jitter, noise.normal[2])
    is_cold = noise.uniform[3] < _cold_share(here, service)
    wait = service.cold_low_ms + noise.uniform[4] * (service.cold_high_ms - service.cold_low_ms)
    latency = first + each * out + xp.where(is_cold, wait, xp.zeros_like(wait))
    outcome, worth = _outcome(here, point, (made, out, latency, failed, truncated * (1.0 - failed)))
    if spec.replays:
        worth = worth - _correction(spec, params, here, (t, context), noise)
    return outcome, worth


def _prices(params: Numbers, t: Array) -> Array:
    moved = sizes_at(params.drift, t)
    return namespace(params.tasks).stack([moved.input_price_factor, moved.output_price_factor])


@cache
def make(spec: Spec) -> World:
    """The functions of a surface; equal specs give the same object, so one compilation."""

    def expected(params: Numbers, t: Array, index: Array, ids: Array) -> tuple[Outcome, Array]:
        return _expected(spec, params, t, (index, ids))

    def outcome(
        params: Numbers, t: Array, context: Context, action_id: Array, *, noise: Noise
    ) -> tuple[Outcome, Array]:
        return _draw(spec, params, t, (context, action_id), noise)

    normals = quality_noise.n_normal(spec.noise) * (1 + spec.replays)
    return World(expected, outcome, n_uniform=5 + spec.replays, n_normal=3 + normals, prices=_prices)


def _columns(types: list[TaskType], population: Population, latent: Latent) -> NDArray[np.float64]:
    """(n, fields of `Task`): the types' numbers, moved by the tasks' features."""

    def plain(name: str) -> NDArray[np.float64]:
        return np.array([float(getattr(t, name)) for t in types])[population.task]

    moved = {
        "q0": np.clip(plain("q0") * latent.difficulty, 0.0, 1.0),
        "cliff": np.maximum(plain("cliff") + latent.cliff, 0.05),
        "t_star": plain("t_star") + latent.optimum,
        "length_log_1": np.log(plain("length_median_1")) + latent.length,
        "length_log_2": np.log(plain("length_median_2")) + latent.length,
        "input_tokens": np.array([float(t.prompt_tokens or 0) for t in population.tasks]),
    }
    return np.stack([moved[n] if n in moved else plain(n) for n in Task._fields], axis=1)


def _model_row(model: Model, service: Service) -> list[float]:
    made = {
        "first_token_mean": jitter_mean(service.first_token_jitter),
        "token_mean": jitter_mean(service.token_jitter),
    }

    def number(name: str) -> float:
        return made[name] if name in made else float(getattr(model if hasattr(model, name) else service, name))

    return [number(name) for name in ServiceRow._fields]


def _worst(numbers: Numbers, drift: Sequence[DriftParams]) -> NDArray[np.float64]:
    """(n,) the largest penalty any outcome of a task can bring: jitter is cut and tokens never exceed max_tokens."""
    service = ServiceRow(*split(numbers.models, ServiceRow))
    most = float(np.max(numbers.axes[1]))

    def peak(name: str) -> float:
        return math.prod(max(1.0, float(getattr(c, name))) for c in drift)

    worth = Weights(*split(numbers.weights, Weights))
    asked = numbers.tasks[:, [Task._fields.index("input_tokens")]]
    first = service.first_token_ms * np.exp(CUT * service.first_token_jitter) * peak("first_token_factor")
    each = service.token_ms * np.exp(CUT * service.token_jitter) * peak("token_factor")
    can_be_cold = (service.cold_share > 0) | any(c.cold_share > 0 for c in drift)
    price_in, price_out = (
        getattr(service, f"{p}_price") * peak(f"{p}_price_factor") / 1e6 for p in ("input", "output")
    )

    def penalty(sent: float) -> NDArray[np.float64]:
        """(n,) of the dearest and slowest answer of so many tokens."""
        cost = (price_in[None] * asked + price_out[None] * sent).max(axis=1)
        slowest = float(np.max(first + each * sent + can_be_cold * service.cold_high_ms))
        return np.asarray(worth.cost * cost + worth.latency * slowest / 1000.0 + worth.tokens * sent / 1000.0)

    return np.asarray(np.maximum(penalty(most), penalty(0.0) + worth.failure) + worth.reservation * most / 4096.0)


def _ranges(spec: Spec, numbers: Numbers, drift: Sequence[DriftParams]) -> tuple[tuple[float, float], bool]:
    """Bounds that no expected reward can leave, and whether rewards cannot either."""
    top, low = float(numbers.weights[:, 0].max()), 0.0 - float(_worst(numbers, drift).max())
    return (low, top), spec.noise[0] in quality_noise.BOUNDED


def _services(params: Params) -> list[Service]:
    return [one.service or params.service for one in params.models.values()] or [params.service]


def _home(params: Params, lattice: Lattice) -> int:
    base = params.baseline
    named = {axis.name: getattr(base, axis.name) for axis in lattice.axes}
    return lattice.action_id(named | {MODEL: base.model or lattice.axes[-1].values[0]})


def _numbers(
    params: Params, lattice: Lattice, population: Population, *, latent: Latent, drift: Sequence[DriftParams]
) -> Numbers:
    models = list(params.models.values()) or [Model()]
    worth = [weights(kind.reward or params.reward) for kind in params.task_types]
    n_rows = len(population.tasks)
    return Numbers(
        tasks=_columns(params.task_types, population, latent),
        axes=tuple(lattice.values(axis.name) for axis in lattice.axes[:-1]),
        models=np.array([_model_row(model, model.service or params.service) for model in models]),
        weights=np.array(worth)[population.task],
        home=np.full(n_rows, _home(params, lattice), np.int32),
        levels=np.float64(params.levels),
        noise=quality_noise.leaves(params.noise),
        drift=drift_leaves(drift),
    )


def _check_replays(params: Params) -> None:
    """Refuse a correction that would correct nothing.

    Raises:
        ConfigError: replays without hidden difficulty.
    """
    is_hidden = params.levels > 1 and any(kind.between for kind in params.task_types)
    if params.replays and not is_hidden:
        need = "0, or hidden difficulty to correct for: world.levels=16, and task types with between > 0"
        raise refuse("world.replays", params.replays, need)


def _notes(params: Params, drift: Sequence[DriftParams]) -> tuple[str, ...]:
    notes = []
    if params.replays:
        notes.append(
            f"Paired mode: every reward is corrected by {params.replays} baseline answers to the same problem; "
            f"an evaluation costs {1 + params.replays} calls."
        )
    if params.noise.kind not in quality_noise.BOUNDED:
        notes.append(f"Quality noise is {params.noise.kind}: rewards have no declared range, bounded intervals refuse.")
    if params.levels > 1 and not any(kind.between for kind in params.task_types):
        notes.append("Hidden difficulty changes nothing: no task type has variance between problems (`between`).")
    if len(params.task_types) == 1 and any(c.task_mix for c in drift):
        notes.append("One task type only: a drift of the task mix changes nothing here.")
    return tuple(notes)


def build(params: Params, *, drift: Sequence[DriftParams] = ()) -> Scenario:
    """The scenario of a preset.

    Raises:
        ValueError: no task type, two of one name, or a baseline off the lattice (the nearest value is named).
        ConfigError: a drift that this population cannot follow, or replays without hidden difficulty.
    """
    names = [kind.name for kind in params.task_types]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"world.task_types has the names {names}, need at least one task type, each name once")
    _check_replays(params)
    lattice = Lattice.from_ranges(params.lattice, models=tuple(params.models) or ("",))
    population, latent = draw_population(
        params.task_types, params.effects, count=params.contexts_per_type, seed=params.population_seed
    )
    numbers = _numbers(params, lattice, population, latent=latent, drift=drift)
    spec = Spec(lattice.shape, (params.noise.kind, params.noise.checks), params.replays)
    value_range, is_bounded = _ranges(spec, numbers, drift)
    spare = float(numbers.weights[:, 0].max()) if params.replays else 0.0
    return Scenario(
        name=params.name,
        world=make(spec),
        params=numbers,
        traffic=traffic(population, drift=drift, levels=params.levels),
        lattice=lattice,
        population=population,
        baseline=np.full(len(names), _home(params, lattice), np.int32),
        recorded=np.ones((len(names), lattice.size), np.bool_),
        value_range=value_range,
        reward_range=(value_range[0] - spare, value_range[1] + spare) if is_bounded else None,
        worth=tuple(tuple(weights(kind.reward or params.reward)) for kind in params.task_types),
        prices=tuple((one.input_price, one.output_price) for one in _services(params)),
        drift=tuple(drift),
        notes=_notes(params, drift),
    )
