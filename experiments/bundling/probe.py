"""One bundle loaded and asked in a process that is there for nothing else: CPU times and memory as JSON.

    python -m experiments.bundling.probe BUNDLE PUBLIC_KEY_HEX|- LOADS REQUESTS

It imports what production imports, NumPy and policies, so that its memory is production's.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from policies.bundle import LoadedPolicy, Trust, load

__all__ = ["HEAVY", "NOW", "asked", "main", "memory_mb", "probe"]

HEAVY = ("gymnasium", "jax", "matplotlib", "onnx", "onnxruntime", "pandas", "scipy")
WARM = 100  # requests before the first that is timed
NOW = datetime(2026, 1, 1, tzinfo=UTC)  # the moment by which the waivers of test bundles are judged


def memory_mb() -> dict[str, float]:
    """Resident memory now and the most so far, MB of 10^6 bytes; empty where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return {name: int(lines[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")}


def _timed(act: Callable[[], object], clock: Callable[[], int]) -> int:
    began = clock()
    act()
    return clock() - began


def asked(found: LoadedPolicy, requests: int) -> list[int]:
    """CPU nanoseconds of single requests, features as a service sends them to parameters, each under its own id."""
    golden = [(case["features"], case["task_type"]) for case in found.manifest["golden"]]
    sent = list(islice(cycle(golden), WARM + requests))
    spent = [
        _timed(partial(found.recommend, features, task_type, f"r-{i}"), time.thread_time_ns)
        for i, (features, task_type) in enumerate(sent)
    ]
    return spent[WARM:]


def probe(folder: Path, key: bytes | None, *, loads: int, requests: int) -> dict[str, Any]:
    """What one bundle costs in this process.

    Args:
        folder: the bundle's.
        key: the public key that must have signed it; None: digests alone.
        loads: how often it is loaded; the first pays for what is imported on the way.
        requests: how many are timed.
    """
    trust = Trust(keys=(key,) if key else ())
    spent = [_timed(lambda: load(folder, trust=trust, now=NOW), time.process_time_ns) for _ in range(loads)]
    after_load = memory_mb()
    found = load(folder, trust=trust, now=NOW)
    each = asked(found, requests) if requests else []
    heavy = sorted(name for name in HEAVY if name in sys.modules)
    spec = found.policy.spec
    feasible = max(int(window.feasible.sum()) for window in found.policy.windows)
    sizes = {"window": spec.k, "feasible": feasible, "context": spec.d}
    return {"load_ns": spent, "request_ns": each, "memory_mb": after_load, "heavy": heavy, **sizes}


def main(words: list[str]) -> None:
    """Print what `probe` finds."""
    folder, key, loads, requests = words
    found = probe(Path(folder), None if key == "-" else bytes.fromhex(key), loads=int(loads), requests=int(requests))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
