"""What a bundle costs to load and to ask, in CPU time and bytes, measured in the process that asks.

CPU time is that of all threads of the process (`time.process_time_ns`), so that a busy machine changes it little;
threads that a linear algebra library keeps spinning count, which is why the figures carry its settings. Requests are
the features of the bundle's golden cases under fresh ids. Each is timed alone, the cost of the clock included.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.digest import leaves
from policies.frozen import Recommendation
from policies.loading import LoadedPolicy, load
from policies.signing import Trust

__all__ = ["measure", "resident", "told"]

LOADS = 7
WARM = 20  # requests of each task type before the first that is timed
EXPLAINED = 200  # answers whose reason and confidence are timed, at most
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
Sections = dict[str, list[tuple[str, str]]]


def _cpu_us(act: Callable[[int], object], times: int) -> NDArray[np.float64]:
    """(times,) microseconds of CPU time of act(0), act(1), ..."""
    spent = np.empty(times)
    for i in range(times):
        start = time.process_time_ns()
        act(i)
        spent[i] = (time.process_time_ns() - start) / 1e3
    return spent


def _spread(spent: NDArray[np.float64]) -> dict[str, float]:
    """Median, 99th percentile (both times that were measured) and mean, to a tenth."""
    low, high = np.quantile(spent, [0.5, 0.99], method="inverted_cdf")
    return {name: round(float(x), 1) for name, x in (("p50", low), ("p99", high), ("mean", spent.mean()))}


def resident() -> tuple[int, str]:
    """Bytes of this process in memory, and which: `now`, `peak` where the system tells no other, `unknown` (0)."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"), "now"
    if os.name != "posix":
        return 0, "unknown"
    import resource  # optional: POSIX alone has it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if platform.system() == "Darwin" else 1024), "peak"


def measure(path: Path, *, trust: Trust, now: datetime | None = None, n_requests: int = 1000) -> dict[str, Any]:
    """The figures of a bundle, as JSON holds them.

    Args:
        path: its folder.
        trust: what the caller accepts.
        now: the time by which waivers are judged; None for this machine's clock.
        n_requests: of each task type.

    Returns:
        Times in milliseconds (load) and microseconds (the rest), sizes in bytes. `confidence_us` is empty where the
        policy has no posterior.

    Raises:
        BundleError: as `load`.
    """
    found = load(path, trust=trust, now=now)
    loads = _cpu_us(lambda _i: load(path, trust=trust, now=now), LOADS)
    state = sum(leaf.nbytes for leaf in leaves(found.policy.state).values())
    asked = {name: _ask(found, name, n_requests) for name in found.policy.task_types}
    memory, which = resident()
    return {
        "policy": {"kind": found.policy.kind, "window": found.policy.spec.k, "context": found.policy.spec.d},
        "requests": n_requests,
        "load_ms": {name: round(value / 1e3, 2) for name, value in _spread(loads).items()},
        "recommend_us": asked,
        **_explained(found, min(n_requests, EXPLAINED)),
        "clock_us": _spread(_cpu_us(lambda _i: None, 1000)),
        "resident": {"bytes": memory, "which": which},
        "file_bytes": {file.name: file.stat().st_size for file in sorted(path.iterdir())},
        "state_bytes": {"all": state, "per_task_type": -(-state // len(found.policy.task_types))},
        "threads": {name: os.environ.get(name, "") for name in THREADS},
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }


def _features(found: LoadedPolicy, times: int) -> list[Mapping[str, object]]:
    return list(islice(cycle(case["features"] for case in found.manifest["golden"]), times))


def _ask(found: LoadedPolicy, task_type: str, times: int) -> dict[str, float]:
    """Features, as they are sent, to parameters."""
    sent = _features(found, times)
    for i in range(WARM):
        found.recommend(sent[i % times], task_type, f"warm-{i}")
    return _spread(_cpu_us(lambda i: found.recommend(sent[i], task_type, f"bench-{i}"), times))


def _explained(found: LoadedPolicy, times: int) -> dict[str, dict[str, float]]:
    """What the words and the confidence of an answer cost, which are made when they are first read."""
    kinds = islice(cycle(found.policy.task_types), times)
    asked = enumerate(zip(_features(found, times), kinds, strict=True))
    answers: list[Recommendation] = [found.recommend(sent, kind, f"bench-{i}") for i, (sent, kind) in asked]
    reason = _spread(_cpu_us(lambda i: answers[i].reason, times))
    confidence = _cpu_us(lambda i: answers[i].confidence, times)
    has_belief = answers[0].confidence is not None
    return {"reason_us": reason, "confidence_us": _spread(confidence) if has_belief else {}}


def told(figures: Mapping[str, Any]) -> Sections:
    """Figures for readers: heading -> (label, text) lines."""
    policy, state = figures["policy"], figures["state_bytes"]
    about = f"{policy['kind']}, {policy['window']} actions in the window, {policy['context']} features"
    pinned = ", ".join(f"{name}={value}" for name, value in figures["threads"].items() if value)
    set_one = "not pinned: spinning threads of the linear algebra library count; set OMP_NUM_THREADS=1"
    found = figures["resident"]
    return {
        "CPU time": list(_times(figures)),
        "memory": [
            ("process", f"{found['bytes'] / 1e6:.1f} MB resident ({found['which']})"),
            ("learned", f"{state['per_task_type']:,} bytes per task type, {state['all']:,} in all"),
            *((name, f"{size:,} bytes") for name, size in figures["file_bytes"].items()),
        ],
        "measured": [
            ("policy", about),
            ("threads", pinned or set_one),
            ("versions", ", ".join(f"{name} {version}" for name, version in figures["versions"].items())),
            ("clock", f"reading it costs {figures['clock_us']['p50']:.1f} us, which every time includes"),
        ],
    }


def _times(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Load, each task type's requests, reason and confidence."""
    yield "load", f"p50 {figures['load_ms']['p50']:.2f} ms of {LOADS}, every check included"
    for name, spread in figures["recommend_us"].items():
        yield f"ask {name}", f"{_line(spread)} of {figures['requests']:,} requests"
    yield "reason", _line(figures["reason_us"])
    yield "confidence", _line(figures["confidence_us"]) if figures["confidence_us"] else "none: no posterior"


def _line(spread: Mapping[str, float]) -> str:
    return f"p50 {spread['p50']:.1f} us, p99 {spread['p99']:.1f} us, mean {spread['mean']:.1f} us"
