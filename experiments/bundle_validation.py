"""Is a bundle what was vetted, and nothing else? `experiment=bundle_validation`.

Edits of every kind, random damage, kills while writing, readers in other languages, CPU time, memory and size: each
against its threshold. Bundles are made here, of small worlds; the learners are those of configs/policy. Wall time and
cores do not matter for the figures, as times are CPU times of processes with one thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from envs.targets import refuse
from envs.world import Scenario
from experiments.bundling import crashing, fuzzing, sizes, speed, tampering
from experiments.bundling.agreement import Agreement, agreement, node
from experiments.bundling.bundles import learned, learners, new_key, published, small_world, wide_world
from experiments.exporting import finish
from experiments.measurement import Measurement
from experiments.results import Claim, Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import Ledger
from policies.signing import Signer

__all__ = ["Params", "agreement_claims", "run"]

SECTION = "speed"
LEAST_CONTEXTS = 10_000
BROKEN, OTHER = "thompson shared", "linucb shared"  # what is edited, and what it is swapped with
FEW = 200  # decisions of learners whose sizes are compared with those before the first


@dataclass(frozen=True)
class Params:
    """How much of everything.

    Attributes:
        learners: by name, with `shared` or `disjoint` where both are there; those that are timed, weighed and asked
            in other languages. None: all there are.
        long: the learner that decides as often as the threshold of its size speaks of.
    """

    learners: tuple[str, ...] = ()
    long: str = "linucb disjoint"
    rounds: int = field(default=400, metadata={"ge": 1, "le": 10**5, "unit": "decisions learned from"})
    every: int = field(default=1, metadata={"ge": 1, "le": 10**4, "unit": "edits, of which one is tried"})
    places: int = field(default=8, metadata={"ge": 1, "le": 10**4, "unit": "flips and cuts per file"})
    examples: int = field(default=10_000, metadata={"ge": 20, "le": 10**7, "unit": "damaged folders"})
    kills: int = field(default=100, metadata={"ge": 1, "le": 10**5})
    repeats: int = field(default=5, metadata={"ge": 1, "le": 100, "unit": "processes per bundle"})
    requests: int = field(default=5000, metadata={"ge": 1, "le": 10**6, "unit": "timed per process"})
    decisions: int = field(default=100_000, metadata={"ge": 1, "le": 10**7, "unit": "of the long learner"})
    contexts: int = field(default=10_000, metadata={"ge": 1, "le": 10**6, "unit": "per learner"})
    javascript: bool = True


class _Work(NamedTuple):
    """What every part is given."""

    params: Params
    chosen: dict[str, Any]  # learners by name
    place: Path  # an empty folder on the disk that results go to
    sign: Signer
    key: bytes
    seed: int
    progress: Progress
    ledger: Ledger


def run(job: Job) -> Summary:
    """Break, fuzz, kill, time, weigh and compare.

    Raises:
        ConfigError: a group of another kind, or a learner that is not there.
        ModuleNotFoundError: an extra, or Node, is missing; the message names it.
    """
    params = job.pick("experiment", Params)
    sign, key = new_key(np.random.default_rng(job.run.master_seed))
    if params.javascript:
        node("--version")  # refused now where it is missing, not after all the rest
    with Progress() as progress, TemporaryDirectory(dir=job.out, prefix="bundles-") as place:
        ledger = Ledger(Results(), [])
        work = _Work(params, _chosen(params), Path(place), sign, key, job.run.master_seed, progress, ledger)
        for part in (_broken, _killed, _timed, _weighed, _compared):
            part(work)
    notes = (
        "Bundles are of small worlds made here; a window is a block of odd sides, and 51 slots are the least above 50.",
        "Resealed edits that only a signature finds make another consistent bundle: ask for a signature.",
    )
    return finish(job, ledger, verdict=None, files=[], timings=progress.timings, notes=notes)


def _chosen(params: Params) -> dict[str, Any]:
    known = learners()
    for name in (*params.learners, params.long):
        if name not in known:
            raise refuse("experiment.learners", name, f"some of {', '.join(known)}")
    return {name: known[name] for name in params.learners or known}


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _specimen(work: _Work) -> tampering.Specimen:
    """A signed bundle, and another that another key signed."""
    sign, _ = new_key(np.random.default_rng(work.seed + 1))
    world, known, rounds = small_world(), learners(), work.params.rounds
    first = published(work.place / "first", learned(world, known[BROKEN], rounds=rounds), sign=work.sign)
    second = published(work.place / "second", learned(world, known[OTHER], rounds=rounds), sign=sign)
    return tampering.Specimen(_files(first), _files(second), work.key)


def _add(work: _Work, claims: Sequence[Claim], rows: Any) -> None:
    work.ledger.claims.extend(claims)
    for row in rows:
        work.ledger.results.add(row)


def _broken(work: _Work) -> None:
    """The tamper matrix, and Hypothesis."""
    specimen, params = _specimen(work), work.params
    edits = list(tampering.cases(specimen, seed=work.seed, each=params.places, every=params.every))
    with work.progress.stage("tamper", len(edits), unit="edits") as advance:
        matrix = tampering.tamper(specimen, edits, advance=advance)
    _add(work, tampering.claims(matrix), tampering.measurements(matrix, SECTION))
    with work.progress.stage("fuzz", params.examples, unit="folders") as advance:
        found = fuzzing.fuzz(specimen, examples=params.examples, advance=advance)
    _add(work, fuzzing.claims(found), fuzzing.measurements(found, SECTION))


def _killed(work: _Work) -> None:
    """Kill -9 while writing."""
    first, second = (next((work.place / name).glob("bundle-*")) for name in ("first", "second"))
    with work.progress.stage("kill", 1, unit="campaigns") as advance:
        found = crashing.crash((first, second), kills=work.params.kills, seed=work.seed)
        advance(1)
    _add(work, crashing.claims(found), crashing.measurements(found, SECTION))


def _timed(work: _Work) -> None:
    """CPU time and memory at 51 actions x 32 features."""
    params, world, costs = work.params, wide_world(), []
    with work.progress.stage("time", len(work.chosen), unit="learners") as advance:
        for name, learner in work.chosen.items():
            store = work.place / f"wide {name}"
            folder = published(store, learned(world, learner, rounds=params.rounds), sign=work.sign)
            costs.append(speed.cost(name, folder, work.key, repeats=params.repeats, requests=params.requests))
            advance(1)
    _add(work, speed.claims(costs), speed.measurements(costs, SECTION))


def _weighed(work: _Work) -> None:
    """Bytes of what was learned."""
    params, one_task, wide = work.params, small_world(tasks=1), wide_world()
    with work.progress.stage("weigh", 2 * len(work.chosen) + 1, unit="learners") as advance:

        def weigh(name: str, world: Scenario, decisions: int, *, is_traced: bool) -> sizes.Size:
            learner = work.chosen.get(name) or learners()[name]
            found = sizes.size_of(name, learner, world, decisions=decisions, is_traced=is_traced)
            advance(1)
            return found

        few = min(FEW, params.decisions)
        plain = [weigh(name, one_task, few, is_traced=True) for name in work.chosen]
        large = [weigh(name, wide, 1, is_traced=False) for name in work.chosen]
        long = weigh(params.long, one_task, params.decisions, is_traced=False)
    rows = [*sizes.measurements([*plain, *large], SECTION), _long_row(long)]
    _add(work, sizes.claims(plain, long, large), rows)


def _long_row(long: sizes.Size) -> Measurement:
    value = float(long.state)
    return Measurement(section=SECTION, measure="long_state_bytes", policy=long.name, t=long.decisions, value=value)


def _compared(work: _Work) -> None:
    """NumPy, onnxruntime and JavaScript on the same requests."""
    params, world = work.params, small_world()
    found: dict[str, Agreement] = {}
    with work.progress.stage("compare readers", len(work.chosen), unit="learners") as advance:
        for name, learner in work.chosen.items():
            policy = learned(world, learner, rounds=params.rounds)
            found[name] = agreement(policy, n=params.contexts, seed=work.seed, javascript=params.javascript)
            advance(1)
    rows = [
        Measurement(section=SECTION, measure=name, policy=policy, n=one.n, value=float(getattr(one, name)))
        for policy, one in found.items()
        for name in ("onnx_same", "onnx_worst", *(("js_same", "js_worst") if params.javascript else ()))
    ]
    _add(work, agreement_claims(found, javascript=params.javascript), rows)


def agreement_claims(found: dict[str, Agreement], *, javascript: bool) -> list[Claim]:
    """Actions and masses of the other readers against NumPy's.

    Args:
        found: by learner.
        javascript: whether JavaScript was asked.
    """
    rows = list(found.values())
    onnx = _agreed("onnxruntime", found, [(one.onnx_same, one.onnx_worst) for one in rows], least=1.0)
    if not javascript:
        return [onnx, Claim("JavaScript against NumPy", "not asked", "reported", "0 requests", None)]
    return [onnx, _agreed("JavaScript", found, [(one.js_same, one.js_worst) for one in rows], least=0.9999)]


def _agreed(reader: str, found: dict[str, Agreement], told: list[tuple[int, int]], *, least: float) -> Claim:
    asked = [one.n for one in found.values()]
    same, worst = min(hits / n for (hits, _), n in zip(told, asked, strict=True)), max(gap for _, gap in told)
    hardest = min(zip(told, found, strict=True), key=lambda one: (one[0][0], -one[0][1]))[1]
    holds = same >= least and worst <= 1
    return Claim(
        f"{reader} against NumPy, {len(found)} learners: same action, largest difference of a mass",
        f"{same:.4%} at least ({hardest}), {worst} in 2^20",
        f"{'100 %' if least == 1.0 else f'>= {least:.2%}'}, <= 1 in 2^20, each learner",
        f"{min(asked):,} requests each, all counted",
        holds if min(asked) >= LEAST_CONTEXTS else None if holds else False,
    )
