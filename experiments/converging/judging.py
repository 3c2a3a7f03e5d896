"""From runs and surfaces to the claims of the table: which runs each row speaks of."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.resampling import Interval
from experiments.converging import claims
from experiments.converging.cases import BAD, DEFAULT
from experiments.converging.comparing import Table, ahead
from experiments.converging.doubting import first_claim
from experiments.converging.peering import OBSERVED
from experiments.converging.running import Run
from experiments.converging.scoring import (
    converged,
    excess,
    falls,
    inside,
    inside_for_good,
    live,
    pooled,
    recovery,
    returned,
)
from experiments.converging.surfaces import Surface, least_approvals
from experiments.results import Claim

__all__ = [
    "Judged",
    "Roles",
    "ahead_claims",
    "claimed",
    "convergence_claims",
    "cost_claims",
    "drift_claims",
    "live_claims",
]

Surfaces = Mapping[tuple[str, str], Surface]
SPOKEN = {DEFAULT: "default start", BAD: "bad start"}


class Roles(NamedTuple):
    """Which worlds a row speaks of, by preset name.

    Attributes:
        calibrated: inside the prior; outside: not.
        control: where nothing can be gained.
        shared: several task types that share one budget.
        by: evaluations that shares are told at, ascending; the last one is the horizon.
        shared_by: evaluations of each task type there.
        onset: evaluation, from 0, at which drifts begin.
    """

    calibrated: tuple[str, ...]
    outside: tuple[str, ...]
    control: str
    shared: str
    by: tuple[int, ...]
    shared_by: int
    onset: int


class Judged(NamedTuple):
    """The flagship's runs with their surfaces, and who plays which part."""

    runs: tuple[Run, ...]
    surfaces: Surfaces
    roles: Roles

    def of(self, worlds: Sequence[str], start: str = "", *, drift: str = "") -> list[tuple[Run, Surface]]:
        """Runs on some worlds under one drift ("" for none), from one start or from both."""
        return [
            (run, self.surfaces[run.key])
            for run in self.runs
            if run.where.world in worlds and run.where.drift == drift and run.where.start in (start or (DEFAULT, BAD))
        ]


def convergence_claims(judged: Judged) -> Iterator[Claim]:
    """Reached and kept on the calibrated presets, with several task types, and outside the prior."""
    roles = judged.roles
    middle, last = roles.by[-2:] if len(roles.by) > 1 else (roles.by[-1], roles.by[-1])
    found = {
        start: [converged(run, surface, by=(middle, last)) for run, surface in judged.of(roles.calibrated, start)]
        for start in SPOKEN
    }
    many = f"{len(roles.calibrated)} calibrated presets"
    held = {start: pooled(each, "reached") for start, each in found.items() if each}
    for start, shares in held.items():
        yield claims.reached(f"by {last}, {many}, {SPOKEN[start]}", shares[1], least=0.95, bound=0.93)
    for start, shares in held.items():
        yield claims.reached(f"by {middle}, {many}, {SPOKEN[start]}", shares[0], least=0.90)
    stayed = pooled([one for each in found.values() for one in each], "kept")
    yield claims.kept(f"by {last}, {many}, runs that begin inside", stayed[1], least=0.98)
    if stayed[0].by < last:
        yield claims.kept(f"by {middle}, {many}, runs that begin inside", stayed[0], least=None)
    yield from _shared_claims(judged)
    for world, start in product(roles.outside, SPOKEN):
        each = [converged(run, surface, by=(last,)) for run, surface in judged.of((world,), start)]
        if each:
            yield claims.reached(
                f"by {last}, {world} (unlike the prior), {SPOKEN[start]}", pooled(each, "reached")[0], least=0.80
            )


def _shared_claims(judged: Judged) -> Iterator[Claim]:
    """Several task types in one budget; required of the runs that began outside the tolerance."""
    roles = judged.roles
    for start in SPOKEN:
        pairs = judged.of((roles.shared,), start)
        if not pairs:
            continue
        each = [converged(run, surface, by=(roles.shared_by,)) for run, surface in pairs]
        what = f"by {len(pairs) * roles.shared_by} evaluations of {len(pairs)} task types together, {SPOKEN[start]}"
        yield claims.reached(what, pooled(each, "reached")[0], least=0.90)


def cost_claims(judged: Judged) -> Iterator[Claim]:
    """Approvals beyond the fewest, and approvals that lose."""
    pairs = judged.of(judged.roles.calibrated)
    yield claims.excess_approvals(np.concatenate([excess(run, surface) for run, surface in pairs]))
    yield claims.few_falls([falls(run, surface) for run, surface in pairs], where=", calibrated presets")
    strange = judged.of(judged.roles.outside)
    if strange:
        yield claims.few_falls([falls(run, surface) for run, surface in strange], where=", unlike the prior")


def claimed(judged: Judged, worlds: Sequence[str]) -> dict[tuple[str, str], NDArray[np.int64]]:
    """(s,) evaluation of the first improvement claim, 0 for never, by world's label and task type."""
    return {run.key: first_claim(run, surface) for run, surface in judged.of(worlds)}


def doubt_claims(judged: Judged, found: Mapping[tuple[str, str], NDArray[np.int64]]) -> Iterator[Claim]:
    """False improvement claims on the control, and how many true improvements are claimed elsewhere."""
    roles = judged.roles
    for start in SPOKEN:
        control = [found[run.key] > 0 for run, _ in judged.of((roles.control,), start)]
        if control:
            any_type = np.any(control, axis=0)
            yield claims.false_claims(f"{roles.control}, {SPOKEN[start]}", int(any_type.sum()), any_type.size)
    for start in SPOKEN:
        hits = total = 0
        for run, surface in judged.of(roles.calibrated, start):
            better = surface.at(run.centre)[:, roles.by[-1] - 1] > surface.values[0, surface.start] + 1e-9
            total += int(better.sum())
            hits += int((better & (found[run.key] > 0) & (found[run.key] <= roles.by[-1])).sum())
        if total:
            yield claims.power(f"by {roles.by[-1]} where they have made one, {SPOKEN[start]}", hits, total)


def drift_claims(judged: Judged, *, swap: str, price: str) -> Iterator[Claim]:
    """Recovery from a version swap and from a price change, each by the name of its drift."""
    onset, worlds = judged.roles.onset, sorted({run.where.world for run in judged.runs})
    swapped = judged.of(worlds, drift=swap)
    if swapped:
        yield claims.recovered(np.concatenate([returned(inside(run, s), onset) for run, s in swapped]))
        yield claims.recovered_for_good(np.concatenate([recovery(inside(run, s), onset) for run, s in swapped]))
    priced = judged.of(worlds, drift=price)
    if priced:
        yield claims.recommended_again(np.concatenate([_first_inside(run, s, onset) for run, s in priced]))
        times, steps = (
            np.concatenate(part) for part in zip(*(_way_back(run, s, onset) for run, s in priced), strict=True)
        )
        yield claims.deployed_again(times, steps)


def _first_inside(run: Run, surface: Surface, onset: int) -> NDArray[np.float64]:
    """(m,) evaluations until the recommended point is within tolerance, of runs whose last one before no longer is."""
    within = inside(run, surface, of="recommended")
    stale = within[:, onset - 1] & ~surface.inside[-1][run.recommended[:, onset - 1]]
    after = within[stale, onset:]
    return np.where(after.any(axis=1), after.argmax(axis=1), np.inf)


def _way_back(run: Run, surface: Surface, onset: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(m,) evaluations until the deployed point is back for good, and the fewest approvals that takes."""
    within = inside(run, surface)
    left = within[:, onset - 1] & ~within[:, onset]
    return recovery(within, onset), least_approvals(surface, run.centre[left, onset], len(surface.begins) - 1)


def live_claims(judged: Judged, *, epsilon: float, confidence: float) -> Iterator[Claim]:
    """The live statement on the calibrated presets from both starts, and with several task types."""
    roles = judged.roles
    for what, worlds, by in (
        ("", roles.calibrated, roles.by[-1]),
        (f", {roles.shared}", (roles.shared,), roles.shared_by),
    ):
        pairs = judged.of(worlds)
        if not pairs:
            continue
        found = [live(run, s, epsilon=epsilon, confidence=confidence) for run, s in pairs]
        good = [inside_for_good(inside(run, s))[:, by - 1] for run, s in pairs]
        for claim in claims.statements(found, good, by=by):
            extra = claim._replace(required="reported", holds=None) if what else claim
            yield extra._replace(claim=claim.claim + what)


def ahead_claims(table: Table, *, by: Sequence[int]) -> tuple[Claim, dict[tuple[str, int], Interval]]:
    """The first player, the flagship, against every other one at some evaluations; of peers, their posterior picks."""
    flagship, *others = table.players
    found = {(one.name, n): ahead(table, flagship, one, by=n) for one, n in product(others, by)}
    return claims.ahead_of_all({pair: won for pair, won in found.items() if f"({OBSERVED})" not in pair[0]}), found
