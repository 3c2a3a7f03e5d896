"""What an estimate costs: IPS, SNIPS and DR with their 95 % intervals on a log in memory.

CPU seconds of one core, checks of the input included; memory is what is allocated beyond the inputs, at its
peak. The reward model is given, as a user of any library would hand it over; the logger's whole
distribution too, which the default intervals read.
"""

import time
import tracemalloc
from typing import NamedTuple

import numpy as np

from evaluators.estimation import Estimator, finish, summarise
from evaluators.estimators import doubly_robust, ips, snips
from evaluators.rows import Floats, RewardRange, Rows
from experiments.measurement import Measurement
from experiments.results import Claim

__all__ = ["Speed", "measure_speed", "speed_claims", "speed_of"]

ESTIMATORS: dict[str, Estimator] = {"ips": ips.Params(), "snips": snips.Params(), "dr": doubly_robust.Params()}
MAX_SECONDS, MAX_MB, AT = 0.3, 100.0, 10**6  # CPU seconds and megabytes beyond the inputs, at so many rows
CHUNK = 100_000  # rows made at once


class Speed(NamedTuple):
    """One log's cost."""

    n: int
    k: int
    cpu_seconds: float  # the fastest repeat
    peak_mb: float  # megabytes (10^6 bytes) beyond the inputs


def speed_of(n: int, *, k: int, repeats: int) -> Speed:
    """Time and peak memory of the three estimators on a made-up log.

    Args:
        n: rows.
        k: slots.
        repeats: the fastest counts.
    """
    rows = made_up(np.random.default_rng(0), n, k)
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
    return Speed(n, k, min(found), peak)


def evaluate(rows: Rows) -> dict[str, tuple[float, float, float]]:
    """Value and ends of every estimator."""
    found = {name: finish(ESTIMATORS[name], sums) for name, sums in summarise(ESTIMATORS, rows).items()}
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


def measure_speed(speed: Speed) -> list[Measurement]:
    """Seconds and megabytes, as tidy measurements."""
    return [
        Measurement(section="speed", measure=measure, policy="off-policy evaluation", n=speed.n, value=value)
        for measure, value in (("ope_cpu_seconds", speed.cpu_seconds), ("ope_peak_mb", speed.peak_mb))
    ]


def speed_claims(speed: Speed) -> list[Claim]:
    """Required at a million rows of 50 slots, reported elsewhere."""
    is_required = (speed.n, speed.k) == (AT, 50)
    what = f"IPS + SNIPS + DR with 95 % intervals, {speed.n:,} rows, k = {speed.k}, reward model given, one core"
    return [
        Claim(
            what,
            f"{speed.cpu_seconds:.2f} CPU s",
            f"<= {MAX_SECONDS:g} CPU s" if is_required else "reported",
            "checks of the input included, fastest repeat",
            speed.cpu_seconds <= MAX_SECONDS if is_required else None,
        ),
        Claim(
            "Their largest memory beyond the inputs",
            f"{speed.peak_mb:.1f} MB",
            f"<= {MAX_MB:g} MB" if is_required else "reported",
            "allocated by NumPy and Python",
            speed.peak_mb <= MAX_MB if is_required else None,
        ),
    ]
