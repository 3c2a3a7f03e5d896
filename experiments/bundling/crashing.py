"""Kill -9 while a store's bundle is replaced: afterwards it holds the old one or the new one, whole.

A process publishes two bundles in turn, as fast as it can, and is killed at a random moment; whoever was to read the
store then loads what `current` leads to, every check included. What the killed writer left behind tells what it was
doing. The watching process is a program of its own that imports policies alone, so that it may fork.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from evaluators.shares import clopper_pearson
from experiments.bundling.probe import NOW
from experiments.measurement import Measurement
from experiments.results import Claim
from policies.bundle import DIGEST_ONLY, BundleError, LoadedPolicy, load, publish_bundle
from policies.bundle_files import CURRENT
from policies.manifest import GRAPH

__all__ = ["STAGES", "Crashes", "claims", "crash", "left_behind", "measurements", "watch"]

REQUIRED = 100  # kills
STAGES = ("files", "check", "named", "link", "between")  # what a killed writer was at, in its order
LONGEST = 3.0  # publications that a writer lives through, at most
SWAP = 0.0008  # seconds from a bundle's name to the end of its publication (measured)
PATIENCE = 60.0  # seconds to wait for a writer
MODULE = "experiments.bundling.crashing"


class Crashes(NamedTuple):
    """What was found after kills.

    Attributes:
        kills: how many.
        old, new: of them, those after which the store held what it held when the writer started, or the other one.
        broken: what else was found, in words.
        stages: how often each of `STAGES` was interrupted.
        left: most drafts that a killed writer left at once, and how many remain after one that was not killed.
    """

    kills: int
    old: int
    new: int
    broken: tuple[str, ...]
    stages: dict[str, int]
    left: tuple[int, int]


def left_behind(store: Path, *, files: int) -> str:
    """What a writer was doing when it was killed, by what it left in the store.

    Args:
        store: with at most one draft.
        files: of a whole bundle.

    Returns:
        `files`: they were being written; `check`: they were whole and being read back; `named`: the folder had its
        name, and the draft was about to go; `link`: the new link had not taken the old one's place; `between`: nothing.
    """
    if (store / f".draft-{CURRENT}").is_symlink():
        return "link"
    for draft in store.glob(".draft-*"):
        held = [file for folder in draft.iterdir() for file in folder.iterdir()]
        return "named" if not any(draft.iterdir()) else "check" if len(held) == files else "files"
    return "between"


def _publish(store: Path, found: LoadedPolicy, graph: bytes | None) -> None:
    publish_bundle(store, found.policy, release=found.release, graph=graph, sign=None, now=NOW)


def _write_for_ever(store: Path, both: tuple[LoadedPolicy, LoadedPolicy], graphs: tuple[bytes | None, ...]) -> None:
    """Publish whichever is not current; the other's folder goes in one step, so that it is written anew next time."""
    for turn in range(10**9):
        here = load(store / CURRENT, trust=DIGEST_ONLY).digest
        which = 0 if here == both[1].digest else 1
        for folder in store.glob(f"*-{both[which].digest[:16]}"):
            os.rename(folder, store.parent / f"gone-{os.getpid()}-{turn}")
        _publish(store, both[which], graphs[which])


class _Moment(NamedTuple):
    """When to kill: so many seconds after the start, or after the next bundle has got its name."""

    seconds: float
    is_named: bool


def _moments(rng: np.random.Generator, kills: int, took: float) -> Iterator[_Moment]:
    """In turn anywhere, and within the few milliseconds in which a bundle gets its name and becomes the current one."""
    for i in range(kills):
        is_named = i % 2 == 1
        yield _Moment(float(rng.uniform(0.0, SWAP if is_named else LONGEST * took)), is_named)


def _await_name(store: Path) -> None:
    """Wait until the store holds a bundle that it does not hold now."""
    before, late = set(os.listdir(store)), time.monotonic() + PATIENCE
    while time.monotonic() < late:
        now = set(os.listdir(store))
        if any(not name.startswith(".") for name in now - before):
            return
        before &= now


def _kill(moment: _Moment, store: Path, both: Any, graphs: Any) -> None:
    """Start a writer and let it live until the moment."""
    child = os.fork()
    if child == 0:
        try:
            _write_for_ever(store, both, graphs)
        finally:
            os._exit(1)  # never back into the caller's frames
    if moment.is_named:
        _await_name(store)
    time.sleep(moment.seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"the writer ended by itself with status {status}, need one that is killed")


def watch(place: Path, bundles: tuple[Path, Path], *, kills: int, seed: int) -> Crashes:
    """Kill writers and look at what they leave; forks, so the process must have one thread.

    Args:
        place: an empty folder.
        bundles: two that differ.
        kills: how many.
        seed: of the moments.
    """
    rng, store = np.random.Generator(np.random.Philox(seed)), place / "store"
    first, second = (load(path, trust=DIGEST_ONLY) for path in bundles)
    graphs = tuple((path / GRAPH).read_bytes() if (path / GRAPH).exists() else None for path in bundles)
    files, both = 3 + (graphs[0] is not None), (first, second)
    began = time.perf_counter()
    _publish(store, first, graphs[0])
    took = time.perf_counter() - began
    held, left, broken, stages, seen = first.digest, 0, [], Counter[str](), Counter[str]()
    for moment in _moments(rng, kills, took):
        _kill(moment, store, both, graphs)
        stages[left_behind(store, files=files)] += 1
        left = max(left, len(list(store.glob(".draft-*"))))
        try:
            found = load(store / CURRENT, trust=DIGEST_ONLY).digest
        except (BundleError, OSError) as error:
            broken.append(str(error))
            continue
        if found not in (first.digest, second.digest):
            broken.append(f"{found} is neither of the two")
        seen["old" if found == held else "new"] += 1
        held = found
        for gone in place.glob("gone-*"):
            shutil.rmtree(gone)
    _publish(store, second, graphs[1])
    remain = len(list(store.glob(".draft-*")))
    return Crashes(kills, seen["old"], seen["new"], tuple(broken), dict(stages), (left, remain))


def crash(bundles: tuple[Path, Path], *, kills: int, seed: int) -> Crashes:
    """As `watch`, in a process of its own, on a folder beside the first bundle.

    Raises:
        RuntimeError: that process failed; the message has its own words.
    """
    with TemporaryDirectory(dir=bundles[0].parent) as place:
        words = [sys.executable, "-m", MODULE, place, *map(str, bundles), str(kills), str(seed)]
        alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, env=alone, check=False)
    if done.returncode:
        raise RuntimeError(f"the process that kills writers ended with {done.returncode}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout)
    return Crashes(**told | {"broken": tuple(told["broken"]), "left": tuple(told["left"])})


def claims(found: Crashes) -> list[Claim]:
    """Old or new, never a mixture; and nothing stays that a killed writer left."""
    whole = found.old + found.new - len([one for one in found.broken if one.endswith("neither of the two")])
    bounds = clopper_pearson(whole, found.kills, confidence=0.95, side="lower")
    stages = ", ".join(f"{name} {found.stages.get(name, 0)}" for name in STAGES)
    return [
        Claim(
            f"Killed {found.kills} times while a bundle is replaced: the old one or the new one, whole",
            f"{whole} of {found.kills} (unchanged {found.old}, replaced {found.new}; interrupted at {stages})"
            + (f"; {found.broken[0]}" if found.broken else ""),
            f"100 % of >= {REQUIRED}",
            f">= {bounds.lo:.1%} at 95 %",
            whole == found.kills >= REQUIRED if found.kills >= REQUIRED else None if whole == found.kills else False,
        ),
        Claim(
            "Drafts that killed writers left, after the next writer",
            f"{found.left[1]} (of {found.left[0]} seen at once)",
            "0",
            "counted",
            found.left[1] == 0,
        ),
    ]


def measurements(found: Crashes, section: str) -> Iterator[Measurement]:
    """Kills by what was found and by what was interrupted."""
    for name, value in (("old", found.old), ("new", found.new), ("broken", len(found.broken))):
        yield Measurement(section=section, measure=f"killed_{name}", n=found.kills, value=float(value))
    for name in STAGES:
        count = float(found.stages.get(name, 0))
        yield Measurement(section=section, measure="interrupted", task=name, n=found.kills, value=count)


if __name__ == "__main__":
    place, first, second, kills, seed = sys.argv[1:]
    print(json.dumps(watch(Path(place), (Path(first), Path(second)), kills=int(kills), seed=int(seed))._asdict()))
