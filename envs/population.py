"""The finite population of tasks a synthetic world draws from, and how features act.

Every task gets the mission's twelve features; three indices made of them (difficulty,
length, optimum) and a hidden difficulty move the surface. Effects are centred within a
task type, so a type's mean stays where its preset put it.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.reward import RewardWeights
from envs.tasks import FeatureSpec, TaskFeatures, encode
from envs.traffic import Population

__all__ = ["Effects", "Latent", "TaskType", "draw_population"]

Floats = NDArray[np.float64]
INDICATORS = ("async", "concurrency", "cross_module", "legacy", "numerics", "security", "state_machine")
_LIMIT = 2.0  # indices are cut at two standard deviations


@dataclass(frozen=True)
class TaskType:
    """One task type: its surface at the reference task, and what its requests look like.

    The formulae are those of `envs.curves`. `between` is the share of the quality's variance that
    lies between problems: what replaying the same prompt takes away.
    """

    name: str = "task"
    weight: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e6, "unit": "share of traffic, unnormalised"})
    q0: float = field(default=0.5, metadata={"ge": 0.0, "le": 1.0, "unit": "quality at temperature 0"})
    t_star: float = field(default=0.0, metadata={"ge": 0.0, "le": 2.0, "unit": "temperature"})
    k_t: float = field(default=0.0, metadata={"ge": 0.0, "le": 10.0})
    cliff: float = field(default=1.5, metadata={"gt": 0.0, "le": 20.0, "unit": "temperature"})
    cliff_width: float = field(default=0.1, metadata={"gt": 0.0, "le": 5.0, "unit": "temperature"})
    f_star: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0})
    k_f: float = field(default=0.0, metadata={"ge": 0.0, "le": 10.0})
    p_star: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0})
    k_p: float = field(default=0.0, metadata={"ge": 0.0, "le": 10.0})
    nucleus_loss: float = field(default=0.15, metadata={"ge": 0.0, "le": 10.0})
    truncation_loss: float = field(default=0.9, metadata={"ge": 0.0, "le": 1.0})
    failure_floor: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "of calls, at any temperature"})
    failing: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "of calls, past failure_centre"})
    failure_centre: float = field(default=1.55, metadata={"gt": 0.0, "le": 20.0, "unit": "temperature"})
    failure_width: float = field(default=0.031, metadata={"gt": 0.0, "le": 5.0, "unit": "temperature"})
    runaway: float = field(default=0.7, metadata={"ge": 0.0, "le": 3.0, "unit": "log tokens past the cliff"})
    runaway_shift: float = field(default=0.1, metadata={"ge": -2.0, "le": 2.0, "unit": "temperature above the cliff"})
    runaway_width: float = field(default=0.08, metadata={"gt": 0.0, "le": 5.0, "unit": "temperature"})
    length_median_1: float = field(default=150.0, metadata={"gt": 0.0, "le": 1e6, "unit": "tokens"})
    length_sd_1: float = field(default=0.5, metadata={"gt": 0.0, "le": 3.0, "unit": "log tokens"})
    length_weight_1: float = field(default=1.0, metadata={"ge": 0.0, "le": 1.0})
    length_median_2: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e6, "unit": "tokens"})
    length_sd_2: float = field(default=1.0, metadata={"gt": 0.0, "le": 3.0, "unit": "log tokens"})
    between: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "share of variance between problems"})
    description_length: int = field(default=600, metadata={"ge": 1, "le": 10**6, "unit": "characters, median"})
    prompt_tokens: int = field(default=400, metadata={"ge": 1, "le": 10**6, "unit": "tokens, median"})
    reward: RewardWeights | None = None  # the world's where it is null


@dataclass(frozen=True)
class Effects:
    """How strongly the features act, per standard deviation of their index."""

    difficulty: float = field(default=0.0, metadata={"ge": 0.0, "le": 0.5, "unit": "relative quality"})
    hidden: float = field(default=0.0, metadata={"ge": 0.0, "le": 0.5, "unit": "relative quality"})
    length: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.5, "unit": "log tokens"})
    optimum: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "temperature"})
    cliff: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "temperature"})


class Latent(NamedTuple):
    """(n,) each: factor on quality, shift of log length, of the best temperature, of the cliff."""

    difficulty: Floats
    length: Floats
    optimum: Floats
    cliff: Floats


def _draw_task(rng: np.random.Generator, kind: TaskType) -> TaskFeatures:
    """One request of a type; sizes are log-normal, counts Poisson."""

    def size(median: float, spread: float) -> int:
        return int(np.rint(median * np.exp(spread * rng.standard_normal())))

    description = size(kind.description_length, 0.8)
    files = 1 + int(rng.poisson(3.0))
    n_indicators = int(rng.integers(0, 5))
    chosen = rng.choice(len(INDICATORS), size=n_indicators, replace=False)
    known = rng.random() < 0.9
    return TaskFeatures(
        risk_tier=int(rng.integers(1, 4)),
        title_length=size(48.0, 0.4),
        description_length=description,
        acceptance_criteria_count=1 + int(rng.poisson(2.0)),
        scope_files_count=files,
        max_files=5 * files,
        max_loc=size(200.0 * files, 0.5),
        has_external_deps=bool(rng.random() < 0.4),
        complexity_indicators=tuple(INDICATORS[i] for i in sorted(chosen)),
        model_name=None,
        prompt_tokens=size(kind.prompt_tokens, 0.5) if known else None,
        prior_failures=int(rng.poisson(0.8)),
    )


def _index(features: Floats, spec: FeatureSpec, names: tuple[str, ...]) -> Floats:
    """A centred, unit-variance mean of context entries, cut at two standard deviations."""
    columns = [spec.names.index(name) for name in names]
    total = features[:, columns].sum(axis=1)
    cut = np.clip((total - total.mean()) / max(float(total.std()), 1e-12), -_LIMIT, _LIMIT)
    return np.asarray(cut - cut.mean())


def _latent(features: Floats, spec: FeatureSpec, effects: Effects, hidden: Floats) -> Latent:
    difficulty = _index(features, spec, ("complexity_indicators", "prior_failures"))
    length = _index(features, spec, ("description_length", "acceptance_criteria_count", "scope_files_count"))
    optimum = _index(features, spec, ("has_external_deps", "risk_tier"))
    own = np.clip(hidden, -_LIMIT, _LIMIT)
    factor = 1.0 - effects.difficulty * difficulty + effects.hidden * (own - own.mean())
    return Latent(factor, effects.length * length, effects.optimum * optimum, -effects.cliff * difficulty)


def draw_population(types: list[TaskType], effects: Effects, *, count: int, seed: int) -> tuple[Population, Latent]:
    """`count` tasks of each type and their latent effects; a function of `seed` alone."""
    return _drawn(tuple(types), effects, count, seed)


@lru_cache(maxsize=64)
def _drawn(types: tuple[TaskType, ...], effects: Effects, count: int, seed: int) -> tuple[Population, Latent]:
    spec, tasks, parts = FeatureSpec(), [], []
    for i, kind in enumerate(types):
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, i], np.uint64)))
        drawn = [_draw_task(rng, kind) for _ in range(count)]
        features = np.stack([encode(task, spec) for task in drawn])
        parts.append(_latent(features, spec, effects, rng.standard_normal(count)))
        tasks += drawn
    population = Population(
        tasks=tuple(tasks),
        task=np.repeat(np.arange(len(types), dtype=np.int32), count),
        features=np.stack([encode(task, spec) for task in tasks]),
        cluster=np.arange(len(tasks), dtype=np.int32),
        names=tuple(kind.name for kind in types),
        mix=np.array([kind.weight for kind in types]) / sum(kind.weight for kind in types),
        spec=spec,
    )
    return population, Latent(*(np.concatenate(leaf) for leaf in zip(*parts, strict=True)))
