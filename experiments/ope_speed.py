"""What an estimate costs: IPS, SNIPS and DR with their 95 % intervals on a log in memory.

CPU seconds of one core, checks of the input included; memory is what is allocated beyond the inputs, at its
peak. Twice: with what every library is given (target and reward model everywhere, the propensity of the
logged action), where DR's interval is `hall`; and with the logger's whole distribution, which the
default interval reads: a third table of numbers to fetch, and a design term per row.
"""

import time
import tracemalloc
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evaluators.estimation import Estimator, finish, summarise
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.intervals import hall
from evaluators.rows import Floats, RewardRange, Rows
from experiments.measurement import Measurement
from experiments.results import Claim

__all__ = ["Speed", "measure_speed", "speed_claims", "speed_of"]

RATIOS: dict[str, Estimator] = {"ips": ips.Params(), "snips": snips.Params()}
WHOLE = RATIOS | {"dr": doubly_robust.Params()}
LOGGED = RATIOS | {"dr": doubly_robust.Params(interval=hall.Params())}
MAX_SECONDS, MAX_MB, AT = 0.3, 100.0, 10**6  # CPU seconds and megabytes beyond the inputs, at so many rows
CHUNK = 100_000  # rows made at once


class Speed(NamedTuple):
    """One log's cost."""

    n: int
    k: int
    is_whole: bool  # the logger's whole distribution was given
    cpu_seconds: float  # the fastest repeat
    peak_mb: float  # megabytes (10^6 bytes) beyond the inputs


def speed_of(n: int, *, k: int, repeats: int) -> list[Speed]:
    """Time and peak memory of the three estimators on a made-up log, the logger known in part and whole.

    Args:
        n: rows.
        k: slots.
        repeats: the fastest counts.
    """
    rows = made_up(np.random.default_rng(0), n, k)
    logged = rows._replace(behavior=rows.at(rows.behavior)[:, None], is_partial=True)
    return [_cost(logged, repeats), _cost(rows, repeats)]


def _cost(rows: Rows, repeats: int) -> Speed:
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        evaluate(rows)
        found.append(time.process_time() - begin)
    tracemalloc.start()
    try:
        evaluate(rows)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    n, k = rows.target.shape
    return Speed(n, k, not rows.is_partial, min(found), peak)


def evaluate(rows: Rows) -> dict[str, tuple[float, float, float]]:
    """Value and ends of every estimator."""
    chosen = LOGGED if rows.is_partial else WHOLE
    found = {name: finish(chosen[name], sums) for name, sums in summarise(chosen, rows).items()}
    return {name: (one.value, one.lo, one.hi) for name, one in found.items()}


def made_up(rng: np.random.Generator, n: int, k: int) -> Rows:
    """A log with softmax logger and target, rewards 0 or 1, and a reward model."""
    behavior, target, predicted = np.empty((n, k)), np.empty((n, k)), rng.random((n, k))
    for begin in range(0, n, CHUNK):
        for table in (behavior, target):
            part = table[begin : begin + CHUNK]
            part[:] = _softmax(rng.normal(size=part.shape))
    below = np.zeros(n, np.int64)
    spot, total = rng.random(n), np.zeros(n)
    for slot in range(k - 1):  # the slot whose cumulative probability first exceeds the spot
        total += behavior[:, slot]
        below += total < spot
    reward = (rng.random(n) < predicted[np.arange(n), below]).astype(np.float64)
    return Rows(reward, below, behavior, target, predicted, reward_range=RewardRange(0.0, 1.0))


def _softmax(logits: Floats) -> Floats:
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def measure_speed(speeds: Sequence[Speed]) -> list[Measurement]:
    """Seconds and megabytes, as tidy measurements."""
    return [
        Measurement(
            section="speed", measure=measure, policy=f"off-policy evaluation, {_given(one)}", n=one.n, value=value
        )
        for one in speeds
        for measure, value in (("ope_cpu_seconds", one.cpu_seconds), ("ope_peak_mb", one.peak_mb))
    ]


def _given(one: Speed) -> str:
    return "whole logger" if one.is_whole else "logged propensities"


def speed_claims(speeds: Sequence[Speed]) -> list[Claim]:
    """Required at a million rows of 50 slots; the time with the whole logger is reported."""
    return [claim for one in speeds for claim in _claims(one)]


def _claims(one: Speed) -> list[Claim]:
    is_required = (one.n, one.k) == (AT, 50)
    what = f"IPS + SNIPS + DR with 95 % intervals, {one.n:,} rows, k = {one.k}, reward model and {_given(one)} given"
    is_timed = is_required and not one.is_whole
    return [
        Claim(
            f"{what}, one core",
            f"{one.cpu_seconds:.2f} CPU s",
            f"<= {MAX_SECONDS:g} CPU s" if is_timed else "reported",
            "checks of the input included, fastest repeat",
            one.cpu_seconds <= MAX_SECONDS if is_timed else None,
        ),
        Claim(
            f"Their largest memory beyond the inputs, {_given(one)} given",
            f"{one.peak_mb:.1f} MB",
            f"<= {MAX_MB:g} MB" if is_required else "reported",
            "allocated by NumPy and Python",
            one.peak_mb <= MAX_MB if is_required else None,
        ),
    ]
