"""Intervals of many adaptive logs against the truth: coverage and width, with Monte Carlo standard errors."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.hajek import Fitted
from experiments.measurement import Measurement
from experiments.results import Claim

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MIN_COVERAGE = {200: 0.935, 1000: 0.94, 5000: 0.935}  # rounds: what a 95 % interval must reach in its worst case
FAILS_BELOW = 0.94
FEW = 2000  # logs below which coverage is reported, not judged: the standard error is 0.5 % there


class Found(NamedTuple):
    """What a part of the certification hands to the report."""

    measurements: tuple[Measurement, ...]
    claims: tuple[Claim, ...]


class Place(NamedTuple):
    """What was judged."""

    world: str
    policy: str
    method: str
    n: int  # rounds


class Judged(NamedTuple):
    """The intervals of m logs at one place."""

    place: Place
    inside: Bools  # (m,)
    width: Floats  # (m,) reward units, infinite where a log cannot tell

    @property
    def coverage(self) -> float:
        """Share of intervals that hold the truth."""
        return float(self.inside.mean())

    @property
    def stderr(self) -> float:
        """Monte Carlo standard error of the coverage."""
        m = self.inside.size
        return float(np.sqrt(max(self.coverage * (1 - self.coverage), 1 / m) / m))

    @property
    def mean_width(self) -> float:
        """Mean over the intervals that are finite; infinite where none is."""
        finite = self.width[np.isfinite(self.width)]
        return float(finite.mean()) if finite.size else float("inf")

    def measurements(self) -> list[Measurement]:
        """Coverage, the mean finite width, and the share of intervals that are the whole line."""
        finite = self.width[np.isfinite(self.width)]
        rows = [
            self._row("coverage", self.coverage, stderr=self.stderr),
            self._row("infinite_share", 1 - finite.size / self.width.size),
        ]
        if finite.size > 1:
            rows.append(self._row("width", self.mean_width, stderr=float(finite.std(ddof=1) / np.sqrt(finite.size))))
        return rows

    def _row(self, measure: str, value: float, *, stderr: float | None = None) -> Measurement:
        world, policy, method, n = self.place
        return Measurement(
            section="ope",
            measure=measure,
            world=world,
            policy=policy,
            estimator=method,
            n=n,
            value=value,
            stderr=stderr,
        )


def judge(place: Place, fitted: Fitted, truth: float) -> Judged:
    """Hold the 95 % intervals of many logs against the truth."""
    lo, hi = fitted.bounds()
    return Judged(place, (lo <= truth) & (truth <= hi), hi - lo)


def joined(blocks: Iterable[list[Judged]]) -> list[Judged]:
    """Judgements of several blocks of logs as those of all of them, place by place."""
    found: dict[Place, list[Judged]] = {}
    for block in blocks:
        for one in block:
            found.setdefault(one.place, []).append(one)
    return [
        Judged(place, np.concatenate([x.inside for x in same]), np.concatenate([x.width for x in same]))
        for place, same in found.items()
    ]


def worst_claim(text: str, judged: Iterable[Judged], *, slack: float = 0.0) -> Claim:
    """The least coverage of several places with one number of rounds must reach `MIN_COVERAGE`.

    Args:
        text: what is claimed.
        judged: the places.
        slack: Monte Carlo standard errors by which the least may fall short.
    """
    worst = min(judged, key=lambda one: one.coverage)
    need = MIN_COVERAGE[worst.place.n]
    words = f"{worst.coverage:.4f} ({_where(worst)})"
    required = f">= {need:g}" + (f" less {slack:g} standard errors" if slack else "")
    holds = worst.coverage + slack * worst.stderr >= need
    return _judged_if_many(Claim(text, words, required, _interval(worst), holds), worst)


def failure_claim(text: str, judged: Iterable[Judged]) -> Claim:
    """The least coverage of a method that must be seen to fail, two standard errors below `FAILS_BELOW`."""
    worst = min(judged, key=lambda one: one.coverage)
    words = f"{worst.coverage:.4f} ({_where(worst)})"
    holds = worst.coverage + 2 * worst.stderr < FAILS_BELOW
    required = f"< {FAILS_BELOW:g} by two standard errors: it fails"
    return _judged_if_many(Claim(text, words, required, _interval(worst), holds), worst)


def width_claim(text: str, one: Judged, limit: float) -> Claim:
    """The mean width at one place must not exceed a limit, reward units."""
    finite = one.width[np.isfinite(one.width)]
    stderr = finite.std(ddof=1) / np.sqrt(finite.size)
    claim = Claim(
        text, f"{one.mean_width:.4f}", f"<= {limit:g}", f"standard error {stderr:.4f}", one.mean_width <= limit
    )
    return _judged_if_many(claim, one)


def _judged_if_many(claim: Claim, one: Judged) -> Claim:
    if one.inside.size >= FEW:
        return claim
    return claim._replace(required=f"{claim.required} from {FEW:,} logs on; reported", holds=None)


def _where(one: Judged) -> str:
    return f"{one.place.world}, {one.place.policy}"


def _interval(one: Judged) -> str:
    return f"standard error {one.stderr:.4f}, {one.inside.size:,} logs"
