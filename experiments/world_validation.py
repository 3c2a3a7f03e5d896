"""Does a world mean what it says? Every preset under every drift, drawn a million times, part by part.

Draws are compared with `expected` at the same contexts and actions; a difference beyond four
standard errors fails. Of some 1,500 comparisons of an honest world all pass in about nine runs of
ten. Published numbers that a preset claims are compared on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from envs import presets
from envs.calibration import compare
from envs.drift import Params as DriftParams
from envs.drift import drift as leaves_of
from envs.drift import intensity
from envs.surfaces import llm_outcome
from envs.targets import refuse
from experiments.draws import MEASURED, Agreement, agreement
from experiments.exporting import finish
from experiments.measurement import Measurement
from experiments.results import Claim, Results, Summary
from experiments.settings import Job
from experiments.terminal import Progress
from experiments.vetting import Ledger, workers

__all__ = ["Params", "run", "simulated_worlds"]

LIMIT = 4.0  # standard errors


@dataclass(frozen=True)
class Params:
    """What is compared: worlds and drifts by name, all of them where the list is empty."""

    worlds: tuple[str, ...] = ()
    drifts: tuple[str, ...] = ()
    draws: int = field(default=1_000_000, metadata={"ge": 1000, "le": 10**9, "unit": "per world, drift and state"})


class _Case(NamedTuple):
    """A world under one drift at one evaluation."""

    world: str
    drift: str
    t: int


def simulated_worlds() -> dict[str, llm_outcome.Params]:
    """The presets of the synthetic LLM, by name."""
    loaded = {name: presets.load("world", name) for name in presets.simulated()}
    return {name: found for name, found in loaded.items() if isinstance(found, llm_outcome.Params)}


def _states(component: DriftParams, horizon: int) -> tuple[int, ...]:
    """Evaluations before, halfway into and at full drift, as far as they differ."""
    moving = leaves_of([component])
    levels = [float(intensity(*moving[:3], t=np.int32(t))[0]) for t in range(horizon)]
    wanted = (0.0, 0.5, 1.0)
    return tuple(sorted({int(np.argmin([abs(level - w) for level in levels])) for w in wanted}))


def _cases(params: Params, horizon: int) -> Iterator[_Case]:
    """Every world as it is, and in every state of every drift that differs from that."""
    drifts = params.drifts or tuple(presets.names("drift"))
    states = [(name, t) for name in drifts for t in _states(presets.components(name)[name], horizon)]
    for world in params.worlds or tuple(simulated_worlds()):
        yield from (_Case(world, name, t) for name, t in states if t or name == "none")


def run(job: Job) -> Summary:
    """Draw every world under every drift and compare with what it declares.

    Raises:
        ConfigError: a world or drift that is not there.
    """
    params, ledger = job.pick("experiment", Params), Ledger(Results(), [])
    worlds = simulated_worlds()
    for name in params.worlds:
        if name not in worlds:
            raise refuse("experiment.worlds", name, f"some of {', '.join(worlds)}")
    cases = list(_cases(params, job.run.horizon))
    with Progress() as progress, progress.stage("draw", len(cases), unit="states") as advance:

        def one(case: _Case) -> Agreement:
            scenario = presets.scenario(case.world, drift=case.drift)
            drawn = agreement(scenario, t=case.t, draws=params.draws, master_seed=job.run.master_seed)
            advance(1)
            return drawn

        with workers() as pool:
            found = list(zip(cases, pool.map(one, cases), strict=True))
    for case, drawn in found:
        _record(ledger, case, drawn)
    ledger.claims.append(_agreement_claim(found))
    chosen = {name: worlds[name] for name in params.worlds or worlds}
    ledger.claims.append(_published_claim(chosen))
    return finish(job, ledger, verdict=None, files=[], timings=progress.timings)


def _record(ledger: Ledger, case: _Case, one: Agreement) -> None:
    for name, drawn, error, z in zip(MEASURED, one.drawn, one.stderr, one.z, strict=True):
        row = partial(Measurement, section="world", world=case.world, rule=case.drift, t=case.t, n=one.n)
        ledger.results.add(row(measure=f"mean_{name}", value=float(drawn), stderr=float(error)))
        ledger.results.add(row(measure=f"z_{name}", value=float(z)))


def _agreement_claim(found: list[tuple[_Case, Agreement]]) -> Claim:
    largest = [(float(np.abs(one.z).max()), case, MEASURED[int(np.abs(one.z).argmax())]) for case, one in found]
    z, case, part = max(largest)
    n_compared = len(found) * len(MEASURED)
    return Claim(
        f"Drawn means agree with the expectations: {len(found)} worlds and drift states, every part",
        f"largest |z| {z:.2f} ({case.world}, {case.drift} at {case.t}, {part})",
        f"<= {LIMIT:g} standard errors",
        f"{found[0][1].n:,} draws each, {n_compared} comparisons",
        z <= LIMIT,
    )


def _published_claim(worlds: dict[str, llm_outcome.Params]) -> Claim:
    compared = [(name, one) for name, params in worlds.items() for one in compare(params)]
    failing = [f"{name}: {one.record.measure}" for name, one in compared if not one.holds]
    return Claim(
        "Published numbers reproduced by the presets that claim them",
        f"{len(compared) - len(failing)} of {len(compared)}" + (f" ({failing[0]})" if failing else ""),
        "all, within 2 standard errors or the stated tolerance",
        "exact means over each population",
        not failing,
    )
