"""Drift of a world: components that begin at a chosen evaluation, as plain numbers.

A component has a shape over time, whose intensity runs from 0 to 1, and sizes: what it
does at full intensity to the outcomes (quality, length, latency, price, failures) and to
the traffic (task mix, prompt distribution). Components compose: factors multiply, shifts
add, shifts of the task mix act one after the other. The intensity moves in 16 stairs, so
that a drifting world has finitely many truths.

The clock is an evaluation: one round of every task type. With two task types, evaluation
100 begins after 200 rounds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace
from envs.targets import refuse

__all__ = [
    "SHAPES",
    "Drift",
    "Params",
    "Sizes",
    "check_onsets",
    "drift",
    "intensity",
    "moves_outcomes",
    "only_traffic",
    "regimes",
    "sizes_at",
]

STAIRS = 16
SHAPES = ("step", "ramp", "pulse", "season")
_LATEST = 10**9
_EVALUATIONS = {"ge": 0, "le": _LATEST, "unit": "evaluations"}


@dataclass(frozen=True)
class Params:
    """One component: nothing before `onset`, then its sizes times the intensity of its shape.

    Attributes:
        shape: `step`: full at once, for good. `ramp`: grows to full over `duration`. `pulse`: full
            for `duration`, then gone. `season`: a raised cosine of period `duration`.
        task_mix: share of all traffic that moves to the task type `toward`; traffic is then drawn by
            its mix instead of taking turns.
        toward: a task type's name; the first one when empty.
        prompt_divergence: Jensen-Shannon divergence between the contexts of a task type before and
            at full intensity.
        prompt_feature: entry of the context vector whose high values become more frequent.
    """

    shape: str = field(default="step", metadata={"choices": SHAPES})
    onset: int = field(default=0, metadata=_EVALUATIONS)
    duration: int = field(default=1, metadata={"ge": 1, "le": _LATEST, "unit": "evaluations"})
    quality_factor: float = field(default=1.0, metadata={"ge": 0.0, "le": 2.0})
    cliff_shift: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0, "unit": "temperature"})
    optimum_shift: float = field(default=0.0, metadata={"ge": -2.0, "le": 2.0, "unit": "temperature"})
    length_shift: float = field(default=0.0, metadata={"ge": -3.0, "le": 3.0, "unit": "log tokens"})
    first_token_factor: float = field(default=1.0, metadata={"gt": 0.0, "le": 100.0})
    token_factor: float = field(default=1.0, metadata={"gt": 0.0, "le": 100.0, "unit": "of time per token"})
    cold_share: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "of calls, added"})
    input_price_factor: float = field(default=1.0, metadata={"ge": 0.0, "le": 1000.0})
    output_price_factor: float = field(default=1.0, metadata={"ge": 0.0, "le": 1000.0})
    failure_share: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "of calls, added"})
    task_mix: float = field(default=0.0, metadata={"ge": 0.0, "le": 1.0, "unit": "share of traffic"})
    toward: str = ""
    prompt_divergence: float = field(default=0.0, metadata={"ge": 0.0, "lt": 1.0, "unit": "bits"})
    prompt_feature: str = "complexity_indicators"


class Sizes(NamedTuple):
    """What drift does to the outcomes of one moment, () each; of all components, (C,) each."""

    quality_factor: Array
    cliff_shift: Array
    optimum_shift: Array
    length_shift: Array
    first_token_factor: Array
    token_factor: Array
    cold_share: Array
    input_price_factor: Array
    output_price_factor: Array
    failure_share: Array


class Drift(NamedTuple):
    """The components' leaves of a world's parameters, (C,) each, C >= 1."""

    shape: Array  # place in SHAPES
    onset: Array
    duration: Array
    sizes: Sizes


def drift(components: Sequence[Params]) -> Drift:
    """The leaves of some components; of none, one that does nothing."""
    listed = tuple(components) or (Params(),)

    def column(name: str) -> Array:
        return np.array([float(getattr(c, name)) for c in listed])

    return Drift(
        np.array([SHAPES.index(c.shape) for c in listed], np.int32),
        np.array([c.onset for c in listed], np.int32),
        np.array([c.duration for c in listed], np.int32),
        Sizes(*(column(name) for name in Sizes._fields)),
    )


def intensity(shape: Array, onset: Array, duration: Array, *, t: Array) -> Array:
    """(C,) intensity of every component at evaluation t, in [0, 1], a multiple of 1/16.

    >>> ramp = np.array([SHAPES.index("ramp")])
    >>> [float(intensity(ramp, np.array([10]), np.array([4]), t=np.int32(t))[0]) for t in (9, 10, 12, 99)]
    [0.0, 0.0, 0.5, 1.0]
    """
    xp = namespace(onset)
    since = t - onset
    ratio = xp.astype(since, xp.float64) / xp.astype(duration, xp.float64)  # JAX would divide int32 in float32
    ramp = xp.clip(ratio, 0.0, 1.0)
    pulse = xp.where(since < duration, 1.0, 0.0)
    season = (1.0 - xp.cos(2.0 * math.pi * ratio)) / 2.0
    grown = xp.where(shape == 0, 1.0, xp.where(shape == 1, ramp, xp.where(shape == 2, pulse, season)))
    stairs = xp.floor(grown * STAIRS + 0.5) / STAIRS
    return xp.where(since >= 0, stairs, xp.zeros_like(stairs))


def sizes_at(moving: Drift, t: Array) -> Sizes:
    """What all components together do at evaluation t: factors multiply, shifts and shares add."""
    xp, dtype = namespace(moving.onset), moving.sizes.quality_factor.dtype
    level = xp.astype(intensity(moving.shape, moving.onset, moving.duration, t=t), dtype)

    def together(name: str, size: Array) -> Array:
        if name.endswith("_factor"):
            return xp.prod(1.0 + level * (size - 1.0))
        total = xp.sum(level * size)
        return xp.clip(total, 0.0, 1.0) if name.endswith("_share") else total

    return Sizes(*(together(name, size) for name, size in zip(Sizes._fields, moving.sizes, strict=True)))


def moves_outcomes(component: Params) -> list[str]:
    """The sizes of a component that are not neutral and act on outcomes."""
    return [name for name in Sizes._fields if getattr(component, name) != getattr(Params, name)]


def only_traffic(components: Sequence[Params], *, why: str) -> tuple[Params, ...]:
    """The components, once it is sure that they move traffic alone: for worlds whose answers do not drift.

    Raises:
        ConfigError: one that moves outcomes.
    """
    for component in components:
        for name in moves_outcomes(component):
            raise refuse(f"drift.NAME.{name}", getattr(component, name), f"{getattr(Params, name)}: {why}")
    return tuple(components)


def regimes(components: Sequence[Params], n_evaluations: int) -> tuple[int, ...]:
    """The first evaluation of every stretch of time in which no intensity changes, from 0 on.

    >>> regimes([Params(onset=100, quality_factor=0.5)], 220)
    (0, 100)
    """
    moving = drift(components)
    levels = [intensity(moving.shape, moving.onset, moving.duration, t=np.int32(t)) for t in range(n_evaluations)]
    changed = np.flatnonzero(np.any(np.diff(np.array(levels), axis=0) != 0, axis=1)) + 1
    return (0, *(int(t) for t in changed))


def check_onsets(components: Mapping[str, Params], *, horizon: int) -> None:
    """Refuse a component that would begin after everything is over.

    Raises:
        ConfigError: an onset at or after the horizon (it is named).
    """
    for name, component in components.items():
        if component.onset >= horizon:
            need = f"an onset before the horizon, {horizon} evaluations; or drift=none"
            raise refuse(f"drift.{name}.onset", component.onset, need)
