"""What a bundle costs production: CPU time of a load with every check, of single requests, and memory.

Each bundle has a fresh process with one thread that imports policies alone. CPU time, so that a busy machine neither
flatters nor spoils a figure; of several processes the one with the fastest median counts for requests, as its
neighbours disturb it least; of loads the slowest counts too. No request is left out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.measurement import Measurement
from experiments.results import Claim

__all__ = ["THRESHOLDS_US", "Cost", "claims", "cost", "measurements"]

MODULE = "experiments.bundling.probe"
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
MAX_LOAD_MS, MAX_MB, MAX_P99_US = 50.0, 80.0, 1000.0
THRESHOLDS_US = {"linucb": 100.0, "thompson": 300.0}  # p50 of a request
LEAST = (50, 32)  # slots of the window that may be chosen, entries of the context


class Cost(NamedTuple):
    """What one bundle costs.

    Attributes:
        name: of the learner.
        feasible, context: actions that may be chosen, entries of the context.
        load_ms: CPU milliseconds of a load with every check, median of all but the first of each process.
        worst_ms: the slowest of all loads, first ones included.
        signed_ms, signed_worst_ms: the same where a signature is asked for; None where there is none.
        p50_us, p99_us: CPU microseconds of single requests.
        requests: how many of them.
        resident_mb, peak_mb: memory of the process after its loads, and the most it ever had; 0 where nobody tells.
        heavy: packages that production does without and that were imported all the same.
    """

    name: str
    feasible: int
    context: int
    load_ms: float
    worst_ms: float
    signed_ms: float | None
    signed_worst_ms: float | None
    p50_us: float
    p99_us: float
    requests: int
    resident_mb: float
    peak_mb: float
    heavy: tuple[str, ...]


def _probed(folder: Path, key: bytes | None, *, loads: int, requests: int) -> dict[str, Any]:
    words = [sys.executable, "-m", MODULE, str(folder), key.hex() if key else "-", str(loads), str(requests)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
    if done.returncode:
        raise RuntimeError(f"the probe of {folder.name} ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _load_times(found: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Median of later loads and slowest of all, milliseconds."""
    later = [spent for one in found for spent in one["load_ns"][1:]]
    every = [spent for one in found for spent in one["load_ns"]]
    return float(np.median(later or every)) / 1e6, max(every) / 1e6


def cost(name: str, folder: Path, key: bytes | None, *, repeats: int, requests: int) -> Cost:
    """Load and ask a bundle in fresh processes.

    Args:
        name: of its learner.
        folder: where it is.
        key: the public key that signed it; None: it is not signed.
        repeats: processes, and loads in each.
        requests: timed in each process; 0: none, and their times are 0.

    Raises:
        RuntimeError: a process failed; the message has its own words.
    """
    plain = [_probed(folder, None, loads=repeats + 1, requests=requests) for _ in range(repeats)]
    signed = [_probed(folder, key, loads=repeats + 1, requests=0) for _ in range(repeats)] if key else []
    quantiles = [np.quantile(one["request_ns"], [0.5, 0.99]) / 1e3 for one in plain if one["request_ns"]]
    p50, p99 = min(((float(a), float(b)) for a, b in quantiles), default=(0.0, 0.0))
    load_ms, worst_ms = _load_times(plain)
    signed_times = _load_times(signed) if signed else (None, None)
    every = [*plain, *signed]
    return Cost(
        name=name,
        feasible=every[0]["feasible"],
        context=every[0]["context"],
        load_ms=load_ms,
        worst_ms=worst_ms,
        signed_ms=signed_times[0],
        signed_worst_ms=signed_times[1],
        p50_us=p50,
        p99_us=p99,
        requests=requests,
        resident_mb=max(one["memory_mb"].get("VmRSS", 0.0) for one in every),
        peak_mb=max(one["memory_mb"].get("VmHWM", 0.0) for one in every),
        heavy=tuple(sorted({name for one in every for name in one["heavy"]})),
    )


def _is_judged(one: Cost) -> bool:
    return one.name.split()[0] in THRESHOLDS_US


def claims(costs: Sequence[Cost]) -> list[Claim]:
    """Loads, memory and requests of the judged learners against the thresholds; the others are reported."""
    judged, others = [one for one in costs if _is_judged(one)], [one for one in costs if not _is_judged(one)]
    found = [_load_claim(one) for one in judged] + [_memory_claim(judged)] + [_request_claim(one) for one in judged]
    if others:
        slowest, longest = max(others, key=lambda one: one.p50_us), max(others, key=lambda one: one.load_ms)
        tail = max(others, key=lambda one: one.p99_us)
        found.append(
            Claim(
                f"{len(others)} other learners: slowest request, slowest load",
                f"p50 {slowest.p50_us:.0f} us ({slowest.name}), p99 {tail.p99_us:.0f} us ({tail.name}), "
                f"load {longest.load_ms:.1f} ms ({longest.name})",
                "reported",
                f"{slowest.requests:,} requests each",
                None,
            )
        )
    return found


def _size(one: Cost) -> str:
    return f"{one.feasible} actions x {one.context} features"


def _is_full(one: Cost) -> bool:
    return one.feasible >= LEAST[0] and one.context >= LEAST[1]


def _load_claim(one: Cost) -> Claim:
    signed = "" if one.signed_ms is None else f"; signed p50 {one.signed_ms:.1f} ms, worst {one.signed_worst_ms:.1f} ms"
    slowest = max(one.worst_ms, one.signed_worst_ms or 0.0)
    return Claim(
        f"Load and verify, {one.name}, {_size(one)}",
        f"digests p50 {one.load_ms:.1f} ms, worst {one.worst_ms:.1f} ms{signed}",
        f"worst < {MAX_LOAD_MS:g} ms of CPU",
        "fresh processes, first loads included",
        slowest < MAX_LOAD_MS if _is_full(one) else None,
    )


def _memory_claim(judged: Sequence[Cost]) -> Claim:
    peak, heavy = max(one.peak_mb for one in judged), sorted({name for one in judged for name in one.heavy})
    now = max(one.resident_mb for one in judged)
    return Claim(
        "Resident memory of a process that loads and verifies" + (f"; it imported {', '.join(heavy)}" if heavy else ""),
        f"{now:.1f} MB, at most {peak:.1f} MB",
        f"< {MAX_MB:g} MB, without jax and pandas",
        f"largest of {len(judged)} learners",
        peak < MAX_MB and not heavy if peak else None,
    )


def _request_claim(one: Cost) -> Claim:
    limit = THRESHOLDS_US[one.name.split()[0]]
    return Claim(
        f"Features to parameters, {one.name}, {_size(one)}",
        f"p50 {one.p50_us:.0f} us, p99 {one.p99_us:.0f} us",
        f"p50 < {limit:g} us, p99 < {MAX_P99_US:g} us of CPU",
        f"{one.requests:,} requests, fastest process",
        one.p50_us < limit and one.p99_us < MAX_P99_US if _is_full(one) and one.requests else None,
    )


def measurements(costs: Sequence[Cost], section: str) -> Iterator[Measurement]:
    """Times and memory by learner."""
    for one in costs:
        values = {"load_ms": one.load_ms, "load_worst_ms": one.worst_ms, "signed_load_ms": one.signed_ms}
        values |= {"signed_load_worst_ms": one.signed_worst_ms, "request_p50_us": one.p50_us}
        values |= {"request_p99_us": one.p99_us, "resident_mb": one.resident_mb, "peak_mb": one.peak_mb}
        for measure, value in values.items():
            if value is not None:
                yield Measurement(section=section, measure=measure, policy=one.name, n=one.feasible, value=value)
