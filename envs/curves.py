"""The formulae of a synthetic LLM: quality, length, latency, cost and failure as functions of its parameters.

Quality falls off a temperature cliff (top_p acts as an effective temperature), output
length is a mixture of log-normals with runaway growth past the cliff, max_tokens truncates,
latency and cost follow from tokens. Everything is a normal CDF or a logistic function, so
expectations are exact.
Source: forms and constants of Renze & Guven (2024), the min-p logs (arXiv 2407.01082) and
the LLMPerf leaderboard's raw requests; each preset's yaml says what was published.
"""

import math
from typing import NamedTuple

from envs.arrays import Array, namespace, normal_cdf, sigmoid
from envs.drift import Sizes

__all__ = [
    "CUT",
    "Lengths",
    "Service",
    "Task",
    "failure",
    "heat_of",
    "jitter",
    "jitter_mean",
    "lengths",
    "quality",
    "split",
    "tokens",
]

CUT = 3.0  # log-normal jitter is cut at three standard deviations, so that latency has a largest value


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
    failure_floor: Array
    failing: Array
    failure_centre: Array
    failure_width: Array
    runaway: Array
    runaway_shift: Array
    runaway_width: Array
    length_weight_1: Array
    length_log_1: Array
    length_sd_1: Array
    length_log_2: Array
    length_sd_2: Array
    between: Array
    input_tokens: Array


class Service(NamedTuple):
    """One model's numbers, () or (m,) each: how it bends the curves, what it costs, how fast it is."""

    quality_factor: Array
    cliff_shift: Array
    cliff_width_factor: Array
    optimum_shift: Array
    length_shift: Array
    input_price: Array
    output_price: Array
    first_token_ms: Array
    token_ms: Array
    first_token_jitter: Array
    token_jitter: Array
    first_token_mean: Array  # of the jitter, so that medians are what a config gives
    token_mean: Array
    cold_share: Array
    cold_low_ms: Array
    cold_high_ms: Array


class Lengths(NamedTuple):
    """A mixture of log-normals: (2,) weight and SD, (..., 2) mean of log tokens."""

    weight: Array
    centre: Array
    sd: Array


def split(row: Array, kind: type) -> tuple[Array, ...]:
    """A row (..., fields) as the fields of a NamedTuple."""
    return tuple(row[..., i] for i in range(len(kind._fields)))  # type: ignore[attr-defined]  # NamedTuples have them


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def jitter_mean(sd: float) -> float:
    """Mean of exp(sd * Z), Z a standard normal held within three standard deviations.

    >>> jitter_mean(0.0)
    1.0
    """
    inside = math.exp(sd * sd / 2.0) * (_phi(CUT - sd) - _phi(-CUT - sd))
    return inside + _phi(-CUT) * (math.exp(CUT * sd) + math.exp(-CUT * sd))


def jitter(sd: Array, normal: Array) -> Array:
    """Log-normal factor of median 1, held within three standard deviations."""
    xp = namespace(normal)
    return xp.exp(sd * xp.clip(normal, -CUT, CUT))


def heat_of(temperature: Array, top_p: Array) -> Array:
    """Effective temperature: cutting the tail cools, but hardly past T = 1.2 (min-p logs, GSM8K)."""
    xp = namespace(temperature)
    return temperature * (1.0 - 0.98 * xp.sqrt(1.0 - top_p) * sigmoid((1.2 - temperature) / 0.15))


def quality(task: Task, model: Service, moved: Sizes, knobs: tuple[Array, ...]) -> Array:
    """Mean quality before truncation and failure; `knobs` are heat, top_p and the two penalties, (m,) each."""
    heat, p, f, r = knobs
    xp = namespace(heat)
    cliff = task.cliff + model.cliff_shift + moved.cliff_shift
    width = task.cliff_width * model.cliff_width_factor
    best = task.t_star + model.optimum_shift + moved.optimum_shift
    top = task.q0 * model.quality_factor * moved.quality_factor
    fall = sigmoid((cliff - heat) / width) / sigmoid(cliff / width)
    value = top * fall - task.k_t * (heat - best) ** 2
    value = value - task.k_f * (f - task.f_star) ** 2 - task.k_p * (r - task.p_star) ** 2
    value = value - task.nucleus_loss * xp.where(p < 0.35, 0.35 - p, xp.zeros_like(p))
    return xp.clip(value, 0.0, 1.0)


def failure(task: Task, moved: Sizes, temperature: Array) -> Array:
    """Probability that the call fails: a floor, and a cliff of its own (API errors of gpt-3.5 past T = 1.5)."""
    floor = task.failure_floor + (1.0 - task.failure_floor) * moved.failure_share
    past = task.failing * sigmoid((temperature - task.failure_centre) / task.failure_width)
    return floor + (1.0 - floor) * past


def lengths(task: Task, model: Service, moved: Sizes, knobs: tuple[Array, ...]) -> Lengths:
    """How long answers would be without a cap; `knobs` as in `quality`."""
    heat, _, f, _ = knobs
    xp = namespace(heat)
    onset = task.cliff + model.cliff_shift + moved.cliff_shift + task.runaway_shift
    grown = task.runaway * sigmoid((heat - onset) / task.runaway_width) + model.length_shift + moved.length_shift
    shift = grown - 0.05 * f * xp.where(task.runaway > 0, 1.0, 0.0)
    centre = xp.stack([task.length_log_1 + shift, task.length_log_2 + shift], axis=-1)
    weight = xp.stack([task.length_weight_1, 1.0 - task.length_weight_1])
    return Lengths(weight, centre, xp.stack([task.length_sd_1, task.length_sd_2]))


def tokens(long: Lengths, max_tokens: Array) -> tuple[Array, Array]:
    """Mean output tokens under a cap, and probability of being cut off, (m,) each."""
    xp = namespace(max_tokens)
    cap = max_tokens[..., None]
    z = (xp.log(cap) - long.centre) / long.sd
    past = normal_cdf(-z)
    whole = xp.exp(long.centre + long.sd * long.sd / 2.0) * normal_cdf(z - long.sd)
    return xp.sum(long.weight * (whole + cap * past), axis=-1), xp.sum(long.weight * past, axis=-1)
