"""A synthetic LLM whose every expectation is known: the calibrated outcome surface.

Quality falls off a temperature cliff (top_p acts as an effective temperature), output
length is log-normal with runaway growth past the cliff, max_tokens truncates, price and
latency follow from tokens. Task features move difficulty, length and the optimum. The
formulae are sums of normal CDFs and logistic functions, so `expected` is exact.
Source: forms and constants fitted to Renze & Guven (2024) and to the min-p logs
(arXiv 2407.01082); each preset's yaml says what was published and what is assumed.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import Array, namespace, normal_cdf, sigmoid
from envs.drift import Drift, drift, has_begun
from envs.drift import Params as DriftParams
from envs.lattice import Lattice, LatticeRanges, coordinates
from envs.population import Effects, Latent, TaskType, draw_population
from envs.reward import RewardWeights, Weights, reward, weights
from envs.world import Context, Noise, Outcome, Population, Scenario, World, WorldState

__all__ = ["Baseline", "Params", "Service", "build", "make"]

RUNAWAY, RUNAWAY_WIDTH = 0.7, 0.08  # log length gained past the cliff: x2 measured at T = 1.5
FAILURE_CENTRE, FAILURE_WIDTH = 1.55, 0.031  # API errors of gpt-3.5 by temperature: fit to Renze & Guven
MAX_CHECKS = 8


@dataclass(frozen=True)
class Baseline:
    """Production's current parameters, as decimal strings; must be lattice points."""

    temperature: str = "1.0"
    max_tokens: str = "512"
    top_p: str = "1.0"
    frequency_penalty: str = "0"
    presence_penalty: str = "0"


@dataclass(frozen=True)
class Service:
    """Prices (USD per million tokens) and latency of the model served."""

    input_price: float = field(default=0.2, metadata={"ge": 0.0, "le": 1000.0, "unit": "USD per 1e6 tokens"})
    output_price: float = field(default=1.25, metadata={"ge": 0.0, "le": 1000.0, "unit": "USD per 1e6 tokens"})
    first_token_ms: float = field(default=500.0, metadata={"ge": 0.0, "le": 1e5})
    token_ms: float = field(default=15.0, metadata={"ge": 0.0, "le": 1e4})
    first_token_jitter: float = field(default=0.2, metadata={"ge": 0.0, "le": 0.57, "unit": "relative SD"})
    token_jitter: float = field(default=0.1, metadata={"ge": 0.0, "le": 0.57, "unit": "relative SD"})


@dataclass(frozen=True)
class Params:
    """A preset: lattice, task types, how task features act, noise, prices and reward."""

    name: str = "custom"
    lattice: LatticeRanges = field(default_factory=LatticeRanges)
    baseline: Baseline = field(default_factory=Baseline)
    task_types: list[TaskType] = field(default_factory=list)
    effects: Effects = field(default_factory=Effects)
    service: Service = field(default_factory=Service)
    reward: RewardWeights = field(default_factory=RewardWeights)
    checks: int = field(default=5, metadata={"ge": 1, "le": MAX_CHECKS, "static": True, "unit": "graded items"})
    contexts_per_type: int = field(default=128, metadata={"ge": 2, "le": 4096, "static": True})
    population_seed: int = field(default=20260, metadata={"ge": 0, "le": 2**31 - 1})


class Spec(NamedTuple):
    """Static facts of a surface: one compilation per value."""

    shape: tuple[int, ...]
    n_tasks: int
    checks: int


class Task(NamedTuple):
    """One task's numbers on the surface, () each; fields as `TaskType`, features worked in."""

    q0: Array
    t_star: Array
    k_t: Array
    cliff: Array
    cliff_width: Array
    f_star: Array
    k_f: Array
    p_star: Array
    k_p: Array
    nucleus_loss: Array
    truncation_loss: Array
    failing: Array
    runaway: Array
    length_weight_1: Array
    length_log_1: Array
    length_sd_1: Array
    length_log_2: Array
    length_sd_2: Array
    input_tokens: Array


class Numbers(NamedTuple):
    """Leaves of a surface: (n, fields of `Task`) tasks, (v,) values per axis, (n, d) features."""

    tasks: Array
    axes: tuple[Array, ...]
    features: Array
    first: Array  # (tasks,) first row of each task type
    count: Array  # (tasks,)
    service: Array  # (6,) fields of `Service`
    weights: Weights
    drift: Drift


class Point(NamedTuple):
    """What m actions mean for one task: (m,) each, log lengths (m, 2)."""

    quality: Array
    failure: Array
    log_length: Array
    max_tokens: Array


def _task(params: Numbers, index: Array) -> Task:
    row = params.tasks[index]
    return Task(*(row[i] for i in range(len(Task._fields))))


def _began(spec: Spec, params: Numbers, state: WorldState) -> Array:
    return has_begun(params.drift, state.rounds // spec.n_tasks)


def _quality(params: Numbers, task: Task, knobs: tuple[Array, ...], on: Array) -> Array:
    """Quality before truncation and failure; `knobs` are heat (effective temperature), top_p, penalties."""
    heat, p, f, r = knobs
    xp = namespace(heat)
    cliff = task.cliff + on * params.drift.cliff_shift
    top = task.q0 * (1.0 + on * (params.drift.quality_factor - 1.0))
    fall = sigmoid((cliff - heat) / task.cliff_width) / sigmoid(cliff / task.cliff_width)
    quality = top * fall - task.k_t * (heat - task.t_star) ** 2
    quality = quality - task.k_f * (f - task.f_star) ** 2 - task.k_p * (r - task.p_star) ** 2
    quality = quality - task.nucleus_loss * xp.where(p < 0.35, 0.35 - p, xp.zeros_like(p))
    return xp.clip(quality, 0.0, 1.0)


def _point(spec: Spec, params: Numbers, on: Array, task: Task, ids: Array) -> Point:
    xp = namespace(params.tasks)
    grid = coordinates(spec.shape, ids)
    t, m, p, f, r = (xp.take(axis, grid[..., i], axis=0) for i, axis in enumerate(params.axes))
    heat = t * (1.0 - 0.98 * xp.sqrt(1.0 - p) * sigmoid((1.2 - t) / 0.15))
    cliff = task.cliff + on * params.drift.cliff_shift
    grown = task.runaway * sigmoid((heat - cliff - 0.1) / RUNAWAY_WIDTH) + on * params.drift.length_shift
    shift = grown - 0.05 * f * xp.where(task.runaway > 0, 1.0, 0.0)
    failure = task.failing * sigmoid((t - FAILURE_CENTRE) / FAILURE_WIDTH)
    log_length = xp.stack([task.length_log_1 + shift, task.length_log_2 + shift], axis=-1)
    return Point(_quality(params, task, (heat, p, f, r), on), failure, log_length, m)


def _outcome(params: Numbers, task: Task, parts: tuple[Array, ...]) -> tuple[Outcome, Array]:
    """Parts and reward from quality, tokens, latency, failure, truncation and max_tokens."""
    quality, tokens, latency, failure, truncated, max_tokens = parts
    price_in, price_out = params.service[0] / 1e6, params.service[1] / 1e6
    cost = price_in * task.input_tokens + price_out * tokens
    outcome = Outcome(quality, tokens, latency, cost, failure, truncated, max_tokens / 4096.0)
    return outcome, reward(params.weights, outcome)


def _slowdown(params: Numbers, on: Array) -> Array:
    return 1.0 + on * (params.drift.latency_factor - 1.0)


def _mixture(task: Task) -> tuple[Array, Array]:
    """Weights and standard deviations (2,) of log length."""
    xp = namespace(task.q0)
    weight = xp.stack([task.length_weight_1, 1.0 - task.length_weight_1])
    return weight, xp.stack([task.length_sd_1, task.length_sd_2])


def _expected(spec: Spec, params: Numbers, state: WorldState, index: Array, ids: Array) -> tuple[Outcome, Array]:
    task, on = _task(params, index), _began(spec, params, state)
    point = _point(spec, params, on, task, ids)
    xp = namespace(params.tasks)
    weight, sd = _mixture(task)
    cap = point.max_tokens[..., None]
    z = (xp.log(cap) - point.log_length) / sd
    past = normal_cdf(-z)
    over = xp.sum(weight * past, axis=-1)
    whole = xp.exp(point.log_length + sd * sd / 2.0) * normal_cdf(z - sd)
    tokens = xp.sum(weight * (whole + cap * past), axis=-1)
    quality = (1.0 - point.failure) * point.quality * (1.0 - task.truncation_loss * over)
    latency = (params.service[2] + params.service[3] * tokens) * _slowdown(params, on)
    return _outcome(params, task, (quality, tokens, latency, point.failure, over, point.max_tokens))


def _draw(
    spec: Spec, params: Numbers, state: WorldState, at: tuple[Array, Array], noise: Noise
) -> tuple[Outcome, Array]:
    index, action_id = at
    xp = namespace(params.tasks)
    task, on = _task(params, index), _began(spec, params, state)
    many = _point(spec, params, on, task, xp.reshape(action_id, (1,)))
    point = Point(*(leaf[0] for leaf in many))
    second = noise.uniform[3] >= task.length_weight_1
    centre = xp.where(second, point.log_length[1], point.log_length[0])
    length = xp.exp(centre + noise.normal[0] * xp.where(second, task.length_sd_2, task.length_sd_1))
    is_cut = length > point.max_tokens
    truncated, tokens = xp.where(is_cut, 1.0, 0.0), xp.where(is_cut, point.max_tokens, length)
    failure = xp.where(noise.uniform[0] < point.failure, 1.0, 0.0)
    chance = point.quality * (1.0 - task.truncation_loss * truncated)
    passed = noise.uniform[4 : 4 + spec.checks] < chance
    quality = xp.sum(xp.astype(passed, noise.uniform.dtype)) / spec.checks * (1.0 - failure)
    jitter = 1.0 + math.sqrt(12.0) * (noise.uniform[1:3] - 0.5) * params.service[4:6]
    latency = params.service[2] * jitter[0] + params.service[3] * tokens * jitter[1]
    latency = latency * _slowdown(params, on)
    return _outcome(params, task, (quality, tokens, latency, failure, truncated, point.max_tokens))


def _context(params: Numbers, _state: WorldState, task: Array, uniform: Array) -> Context:
    xp = namespace(params.tasks)
    offset = xp.astype(xp.floor(uniform * xp.astype(params.count[task], uniform.dtype)), xp.int32)
    index = params.first[task] + offset
    return Context(index, task, params.features[index])


def start(params: object) -> WorldState:
    """The state before the first round."""
    del params
    return WorldState(np.int32(0))


def advance(_params: object, state: WorldState) -> WorldState:
    """One round later."""
    return WorldState(state.rounds + np.int32(1))


@cache
def make(spec: Spec) -> World:
    """The functions of a surface; equal specs give the same object, so one compilation."""

    def expected(params: Numbers, state: WorldState, index: Array, ids: Array) -> tuple[Outcome, Array]:
        return _expected(spec, params, state, index, ids)

    def outcome(
        params: Numbers, state: WorldState, index: Array, action_id: Array, *, noise: Noise
    ) -> tuple[Outcome, Array]:
        return _draw(spec, params, state, (index, action_id), noise)

    return World(init=start, context=_context, expected=expected, outcome=outcome, advance=advance)


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


def _reward_range(numbers: Numbers) -> tuple[float, float]:
    """Bounds no outcome can leave: all jitter is bounded and tokens never exceed max_tokens."""
    price_in, price_out, first, token, jitter_first, jitter_token = (float(s) for s in numbers.service)
    most, w, root = float(np.max(numbers.axes[1])), numbers.weights, math.sqrt(3.0)
    cost = (price_in * float(np.max(numbers.tasks[:, Task._fields.index("input_tokens")])) + price_out * most) / 1e6
    slowest = first * (1 + root * jitter_first) + token * most * (1 + root * jitter_token)
    seconds = slowest / 1000.0 * max(1.0, float(numbers.drift.latency_factor))
    worst = w.cost * cost + w.latency * seconds + w.tokens * most / 1000.0 + w.reservation * most / 4096.0
    return 0.0 - float(worst + w.failure), float(w.quality)


def build(params: Params, *, drift_params: DriftParams) -> Scenario:
    """The scenario of a preset.

    Raises:
        ValueError: no task type, or a baseline off the lattice (the nearest value is named).
    """
    if not params.task_types:
        raise ValueError("world.task_types is empty, need at least one task type")
    lattice = Lattice.from_ranges(params.lattice)
    population, latent = draw_population(
        params.task_types, params.effects, count=params.contexts_per_type, seed=params.population_seed
    )
    types, service = params.task_types, params.service
    numbers = Numbers(
        tasks=_columns(types, population, latent),
        axes=tuple(lattice.values(axis.name) for axis in lattice.axes),
        features=population.features,
        first=population.first,
        count=population.count,
        service=np.array(
            [service.input_price, service.output_price, service.first_token_ms]
            + [service.token_ms, service.first_token_jitter, service.token_jitter]
        ),
        weights=weights(params.reward),
        drift=drift(drift_params),
    )
    home = lattice.action_id({a.name: getattr(params.baseline, a.name) for a in lattice.axes})
    return Scenario(
        name=params.name,
        world=make(Spec(lattice.shape, len(types), params.checks)),
        params=numbers,
        lattice=lattice,
        population=population,
        baseline=np.full(len(types), home, np.int32),
        recorded=np.ones((len(types), lattice.size), np.bool_),
        reward_range=_reward_range(numbers),
    )
