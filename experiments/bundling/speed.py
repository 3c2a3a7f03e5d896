"""What a bundle costs production: CPU time of a load with every check, of single requests, and memory.

Each bundle has a fresh process with one thread that imports policies alone. CPU time, so that a busy machine neither
flatters nor spoils a figure much. A process loads for the first time once, importing on the way: of first and of later
loads the median counts, and the slowest of all is told. Of requests the process with the fastest median counts, whole.
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

__all__ = ["THRESHOLDS_US", "Cost", "Loads", "claims", "cost", "measurements"]

MODULE = "experiments.bundling.probe"
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
MAX_LOAD_MS, MAX_MB, MAX_P99_US = 50.0, 80.0, 1000.0
THRESHOLDS_US = {"linucb": 100.0, "thompson": 300.0}  # p50 of a request
LEAST = (50, 32)  # slots of the window that may be chosen, entries of the context


class Loads(NamedTuple):
    """CPU milliseconds of a load with every check: median of first and of later loads, slowest of all."""

    first: float
    later: float
    worst: float


class Cost(NamedTuple):
    """What one bundle costs.

    Attributes:
        name: of the learner.
        feasible, context: actions that may be chosen, entries of the context.
        loads: of digests alone.
        signed: of loads that ask for a signature; None where there is none.
        p50_us, p99_us: CPU microseconds of single requests.
        requests: how many of them.
        resident_mb, peak_mb: memory of the process after its loads, and the most it ever had; 0 where nobody tells.
        heavy: packages that production does without and that were imported all the same.
    """

    name: str
    feasible: int
    context: int
    loads: "Loads"
    signed: "Loads | None"
    p50_us: float
    p99_us: float
    requests: int
    resident_mb: float
    peak_mb: float
    heavy: tuple[str, ...]


def _probed(folder: Path, key: bytes | None, *, loads: int, requests: int) -> dict[str, Any]:
    words = [sys.executable, "-m", MODULE, str(folder), key.hex() if key else "-", str(loads), str(requests)]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as by default
    done = subprocess.run(words, capture_output=True, text=True, env=kept | ONE_THREAD, check=False)
    if done.returncode:
        raise RuntimeError(f"the probe of {folder.name} ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _loads(found: Sequence[Mapping[str, Any]]) -> Loads:
    first = [one["load_ns"][0] / 1e6 for one in found]
    later = [spent / 1e6 for one in found for spent in one["load_ns"][1:]]
    return Loads(float(np.median(first)), float(np.median(later)), max(*first, *later))


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
    every = [*plain, *signed]
    return Cost(
        name=name,
        feasible=every[0]["feasible"],
        context=every[0]["context"],
        loads=_loads(plain),
        signed=_loads(signed) if signed else None,
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
    found = [_load_claim(one) for one in judged] + [_memory_claim(costs)] + [_request_claim(one) for one in judged]
    if others:
        slowest, longest = max(others, key=lambda one: one.p50_us), max(others, key=lambda one: one.loads.first)
        tail = max(others, key=lambda one: one.p99_us)
        found.append(
            Claim(
                f"{len(others)} other learners: slowest request, slowest load",
                f"p50 {slowest.p50_us:.0f} us ({slowest.name}), p99 {tail.p99_us:.0f} us ({tail.name}), "
                f"first load {longest.loads.first:.1f} ms ({longest.name})",
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


def _load_words(loads: Loads) -> str:
    return f"first {loads.first:.1f} ms, later {loads.later:.1f} ms, worst {loads.worst:.1f} ms"


def _load_claim(one: Cost) -> Claim:
    tried = [one.loads, *([one.signed] if one.signed else [])]
    slowest = max(max(loads.first, loads.later) for loads in tried)
    words = f"; signature: {_load_words(one.signed)}" if one.signed else ""
    return Claim(
        f"Load and verify, {one.name}, {_size(one)}",
        f"digests: {_load_words(one.loads)}{words}",
        f"first and later < {MAX_LOAD_MS:g} ms of CPU",
        "medians over fresh processes",
        slowest < MAX_LOAD_MS if _is_full(one) else None,
    )


def _memory_claim(costs: Sequence[Cost]) -> Claim:
    peak, heavy = max(one.peak_mb for one in costs), sorted({name for one in costs for name in one.heavy})
    now = max(one.resident_mb for one in costs)
    return Claim(
        "Resident memory of a process that loads and verifies" + (f"; it imported {', '.join(heavy)}" if heavy else ""),
        f"{now:.1f} MB, at most {peak:.1f} MB",
        f"< {MAX_MB:g} MB, without jax and pandas",
        f"largest of {len(costs)} learners",
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
        values = {"request_p50_us": one.p50_us, "request_p99_us": one.p99_us}
        values |= {"resident_mb": one.resident_mb, "peak_mb": one.peak_mb}
        for how, loads in (("digest", one.loads), ("signed", one.signed)):
            values |= {f"{how}_load_{name}_ms": ms for name, ms in loads._asdict().items()} if loads else {}
        for measure, value in values.items():
            yield Measurement(section=section, measure=measure, policy=one.name, n=one.feasible, value=value)
