"""How often does the gate's bound approve what is no better, and how often what is?

Differences to the logger on the base problem: a *far* target is free, a *near* one keeps seven tenths
of the logger. The one judged candidate gets the whole alpha; selection on another log, which the
vetting run adds, only makes approval rarer. The same counts for the gate's two parts over log sizes
show where one should hand over to the other.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from evaluators.estimation import finish_as
from evaluators.gates import difference_sums
from evaluators.intervals import gate, half_model, model, t
from evaluators.rows import Rows
from evaluators.sums import Sums
from experiments.certifying.coverage import drawn_in_turn
from experiments.certifying.pool import BASE, FAR, HELD_OUT, NEAR, open_pool
from experiments.measurement import Measurement
from experiments.results import Claim

__all__ = ["Approved", "approvals", "check_gate", "gate_claims", "measure_gate", "switch_claims", "switch_over"]

INTERVALS = {"t": t.Params(), "half_model": half_model.Params(), "model": model.Params(), "gate": gate.Params()}
AIMS = {"far": FAR, "near": NEAR}
SIZES = (200, 2000)
SWITCH_SIZES = (200, 500, 1000, 2000, 5000)
LEVEL, POWERS = (
    0.05,
    {200: {("far", 0.10): 0.48, ("near", 0.04): 0.50}, 2000: {("far", 0.10): 0.95, ("near", 0.04): 0.95}},
)
ENOUGH = 2000  # logs of a case below which shares are reported, not judged
WORKERS = 2


class Case(NamedTuple):
    """A target that is truly `difference` better than the logger, on one problem."""

    problem: int
    aim: str  # far or near
    difference: float  # reward units


class Approved(NamedTuple):
    """What one interval said of one case on n_logs logs of n rows."""

    case: Case
    interval: str
    n: int
    n_logs: int
    share: float  # of logs whose one-sided 95 % lower bound is >= 0
    detectable: float  # mean difference that would be approved with power 0.8, reward units

    @property
    def stderr(self) -> float:
        """Monte Carlo standard error of the share."""
        return float(np.sqrt(max(self.share * (1 - self.share), 1 / self.n_logs) / self.n_logs))


def approvals(case: Case, n: int, n_logs: int, *, seed: int) -> list[Approved]:
    """Every interval of the gate on `n_logs` logs of n rows of one case.

    Args:
        case: whose difference is judged.
        n: rows of a log.
        n_logs: logs.
        seed: of the logs.
    """
    pool = open_pool(case.problem).at_difference(case.difference, AIMS[case.aim])
    said: dict[str, list[np.ndarray]] = {name: [] for name in INTERVALS}
    reach: dict[str, list[np.ndarray]] = {name: [] for name in INTERVALS}
    for now, rows in drawn_in_turn(pool, n, n_logs, seed=seed + case.problem):
        added = _differences(rows, n_logs=now)
        for name, interval in INTERVALS.items():
            sided, chance = (finish_as(interval, added, confidence=level) for level in (0.90, 0.60))
            said[name].append(np.asarray(sided.lo) >= 0)
            reach[name].append(np.asarray(sided.value) - sided.lo + np.asarray(chance.value) - chance.lo)
    return [
        Approved(
            case, name, n, n_logs, float(np.concatenate(said[name]).mean()), float(np.concatenate(reach[name]).mean())
        )
        for name in INTERVALS
    ]


def _differences(rows: Rows, *, n_logs: int) -> Sums:
    """Target minus logger on every log; the rows' own target is the candidate."""
    return difference_sums(gate.Params(), rows._replace(target=rows.behavior), target=rows.target, n_logs=n_logs)


def check_gate(n_logs: int, *, seed: int) -> tuple[list[Approved], list[Claim]]:
    """Errors and power on the base problem, at 200 and 2,000 rows.

    Args:
        n_logs: logs of each case.
        seed: of the logs.
    """
    cases = [(Case(BASE, aim, 0.0), n) for aim in AIMS for n in SIZES]
    cases += [(Case(BASE, *asked), n) for n in SIZES for asked in POWERS[n]]
    found = _in_parallel([(case, n, n_logs) for case, n in cases], seed=seed)
    return found, gate_claims([one for one in found if one.interval == "gate"])


def switch_over(n_logs: int, *, seed: int) -> list[Approved]:
    """Errors of the gate's two parts at a true difference of 0 over log sizes, on all problems, and their power."""
    null = [Case(problem, aim, 0.0) for problem in (BASE, *HELD_OUT) for aim in AIMS]
    gain = [Case(BASE, "far", 0.05), Case(BASE, "near", 0.02)]
    return _in_parallel([(case, n, n_logs) for case in null + gain for n in SWITCH_SIZES], seed=seed)


def _in_parallel(asked: Sequence[tuple[Case, int, int]], *, seed: int) -> list[Approved]:
    with ThreadPoolExecutor(WORKERS) as threads:
        found = threads.map(lambda one: approvals(*one, seed=seed), asked)
        return [each for group in found for each in group]


def gate_claims(found: Sequence[Approved]) -> list[Claim]:
    """What the gate's own interval must show."""
    claims = [_error(one) if one.case.difference == 0 else _power(one) for one in found]
    return claims if min(one.n_logs for one in found) >= ENOUGH else [one._replace(holds=None) for one in claims]


def switch_claims(found: Sequence[Approved]) -> list[Claim]:
    """The gate's own interval at a true difference of 0: the worst problem at the worst size."""
    null = [one for one in found if one.interval == "gate" and one.case.difference == 0]
    worst = max(null, key=lambda one: one.share)
    limit = LEVEL + 2 * float(np.sqrt(LEVEL * (1 - LEVEL) / worst.n_logs))
    sizes = ", ".join(f"{n:,}" for n in sorted({one.n for one in null}))
    return [
        Claim(
            f"Gate's bound approves a target that is no better, the worst of seven problems at {sizes} rows",
            f"{worst.share:.4f} (n = {worst.n:,})",
            f"<= {LEVEL:g} + 2 standard errors = {limit:.4f}",
            f"standard error {worst.stderr:.4f}, {worst.n_logs:,} logs each",
            worst.share <= limit if worst.n_logs >= ENOUGH else None,
        )
    ]


def _error(one: Approved) -> Claim:
    limit = LEVEL + 2 * float(np.sqrt(LEVEL * (1 - LEVEL) / one.n_logs))
    return Claim(
        f"Gate's bound approves a {one.case.aim} target that is no better, n = {one.n:,}",
        f"{one.share:.4f} (detectable {one.detectable:.3f})",
        f"<= {LEVEL:g} + 2 standard errors = {limit:.4f}",
        f"standard error {one.stderr:.4f}, {one.n_logs:,} logs",
        one.share <= limit,
    )


def _power(one: Approved) -> Claim:
    required = POWERS[one.n][one.case.aim, one.case.difference]
    return Claim(
        f"Gate's bound approves a {one.case.aim} target that is {one.case.difference:+.2f} better, n = {one.n:,}",
        f"{one.share:.4f} (detectable with power 0.8: {one.detectable:.3f})",
        f">= {required:g}",
        f"standard error {one.stderr:.4f}, {one.n_logs:,} logs",
        one.share >= required,
    )


def measure_gate(found: Sequence[Approved], *, part: str) -> Iterator[Measurement]:
    """Shares approved, as tidy measurements; the interval stands in `rule`, the true difference in the task.

    Args:
        found: what was said.
        part: begins the measures' names; two parts of a run must differ.
    """
    for one in found:
        row = partial(
            Measurement,
            section="gate",
            world="base" if one.case.problem == BASE else f"held_out_{one.case.problem}",
            policy=one.case.aim,
            rule=one.interval,
            task=f"{one.case.difference:+.2f}",
            n=one.n,
        )
        yield row(measure=f"{part}_approves", value=one.share, stderr=one.stderr)
        yield row(measure=f"{part}_detectable", value=one.detectable)
