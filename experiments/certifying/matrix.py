"""The certification matrix: estimators x intervals x worlds x regimes x log sizes, and which pairs held.

The rule was stated before anything was measured. A pair *holds* in a regime at a size if, in every world
that did not refuse it and over all of them together, the two-sided 95 % interval covers at least 93 %, and
each one-sided 95 % bound errs at most 6 % of the time, up to two Monte Carlo standard errors of a true 93 %
or 6 %. With 400 logs a world may then show 8.4 % by chance; the pooled figure is what has power.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import evaluators.intervals
from envs.drift import Params as DriftParams
from envs.drift import check_onsets
from evaluators.certified import DIFFERENCE, REGIMES
from evaluators.estimation import Estimator
from experiments.certifying.judging import Cell, Refused, judge_case
from experiments.certifying.pool import Pool
from experiments.certifying.regimes import Case, Shape, pool_cases, world_cases
from experiments.measurement import Measurement
from experiments.results import Claim
from experiments.settings import Job
from experiments.vetting import TARGET_ESS, Bench, build_worlds, gate_of, judged_target, workers

__all__ = [
    "SHAPES",
    "Matrix",
    "Place",
    "claims_of",
    "every_interval",
    "held_pairs",
    "holds",
    "listed",
    "measure_matrix",
    "measurements_of",
    "n_cases",
    "write_held",
]

SHAPES: tuple[Shape, ...] = ((400, 200), (400, 1000), (200, 5000))  # logs, rows of each
MOST_ERRORS, LEAST_COVERAGE, SLACK = 0.06, 0.93, 2.0  # SLACK: Monte Carlo standard errors
WORLD_CASES, POOL_CASES = 8, 6
Pairs = dict[str, dict[int, list[tuple[str, str]]]]  # regime -> n -> (estimator, interval)


class Place(NamedTuple):
    """Where the matrix is measured."""

    worlds: Mapping[str, object]  # parameters of simulated worlds, by name
    drifts: Mapping[str, DriftParams]  # dealt to the worlds in turn
    pools: Mapping[str, Pool]


class Matrix(NamedTuple):
    """Everything that was measured, and what was not."""

    cells: tuple[Cell, ...]
    refused: tuple[Refused, ...]


def every_interval() -> dict[str, object]:
    """Every interval there is, with its own numbers, by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(evaluators.intervals.__path__))
    return {name: importlib.import_module(f"evaluators.intervals.{name}").Params() for name in names}


def n_cases(place: Place) -> int:
    """Cases that `measure_matrix` will judge."""
    return WORLD_CASES * len(place.worlds) + POOL_CASES * len(place.pools)


def measure_matrix(
    place: Place,
    bench: Bench,
    *,
    job: Job,
    intervals: Mapping[str, object],
    shapes: tuple[Shape, ...] = SHAPES,
    advance: Callable[[int], None],
) -> Matrix:
    """Judge every estimator of the job under every interval, everywhere.

    Args:
        place: worlds, drifts and pools.
        bench: logger, policy and bounds; its own world is not used.
        job: estimators, the gate's numbers, master seed and horizon.
        intervals: by name, such as `every_interval()`.
        shapes: logs, and rows of each, one per size.
        advance: told of every case that is done.

    Raises:
        ConfigError: a group is missing or of another kind, or a drift begins after the horizon.
        ValueError: a world has no exact truth, or no declared range of rewards.
    """
    estimators: dict[str, Estimator] = job.pick("estimator", dict)
    check_onsets(place.drifts, horizon=job.run.horizon)
    sources = [*_worlds(place, bench, job), *(_pooled(name, pool, job) for name, pool in place.pools.items())]

    def one(cases: Callable[[], Iterator[Case]]) -> list[tuple[list[Cell], list[Refused]]]:
        found = []
        for case in cases():
            found.append(judge_case(case, shapes, estimators=estimators, intervals=intervals))
            advance(1)
        return found

    with workers() as threads:
        done = [judged for part in threads.map(one, sources) for judged in part]
    cells = (cell for judged, _ in done for cell in judged)
    refused = (reason for _, reasons in done for reason in reasons)
    return Matrix(tuple(cells), tuple(dict.fromkeys(refused)))


def _worlds(place: Place, bench: Bench, job: Job) -> Iterator[Callable[[], Iterator[Case]]]:
    """A maker of cases per world: worlds are opened when their turn comes."""
    drifts = list(place.drifts.items())
    for i, (name, params) in enumerate(place.worlds.items()):
        dealt = dict([drifts[i % len(drifts)]])
        yield partial(_cases, name, params, dealt, bench=bench, job=job)


def _cases(name: str, params: object, drifts: Mapping[str, DriftParams], *, bench: Bench, job: Job) -> Iterator[Case]:
    gate = gate_of(bench._replace(worlds=build_worlds(params, ())), job, ess_shares=(TARGET_ESS,))
    scenario = gate.judge.scenario
    if not scenario.is_exact or scenario.reward_range is None:
        lacks = "no declared range of rewards" if scenario.is_exact else "no exact truth"
        raise ValueError(f"world {name!r} of the matrix has {lacks}, need a simulated world with bounded noise")
    moving = {drift: build_worlds(params, (component,)).judge for drift, component in drifts.items()}
    target, _ = judged_target(gate)
    return world_cases(gate, target, drifts=moving, horizon=job.run.horizon)


def _pooled(name: str, pool: Pool, job: Job) -> Callable[[], Iterator[Case]]:
    return partial(pool_cases, pool, seed=job.run.master_seed, name=name)


def holds(cells: Iterable[Cell]) -> bool:
    """Whether one pair held in one regime at one size.

    Args:
        cells: the pair's, one per world and kind.
    """
    found = list(cells)
    return all(np.isfinite(cell.width) for cell in found) and all(map(_keeps, (found, *([cell] for cell in found))))


def _keeps(cells: list[Cell]) -> bool:
    """The rule for some cells together."""
    n_logs = np.array([cell.n_logs for cell in cells])
    coverage, low, high = (
        float(n_logs @ [getattr(cell, name) for cell in cells]) / n_logs.sum()
        for name in ("coverage", "low_error", "high_error")
    )
    return bool(
        max(low, high) <= MOST_ERRORS + _slack(MOST_ERRORS, n_logs.sum())
        and coverage >= LEAST_COVERAGE - _slack(LEAST_COVERAGE, n_logs.sum())
    )


def _slack(share: float, n_logs: int) -> float:
    return SLACK * float(np.sqrt(share * (1 - share) / n_logs))


def held_pairs(matrix: Matrix) -> Pairs:
    """The pairs that held, by regime and size, sorted."""

    def place(cell: Cell) -> tuple[int, int]:
        return REGIMES.index(cell.regime), cell.n

    def pair(cell: Cell) -> tuple[str, str]:
        return cell.estimator, cell.interval

    found: Pairs = {}
    for (regime, n), cells in groupby(sorted(matrix.cells, key=place), key=place):
        by_pair = groupby(sorted(cells, key=pair), key=pair)
        found.setdefault(REGIMES[regime], {})[n] = [name for name, same in by_pair if holds(same)]
    return found


def write_held(matrix: Matrix, file: Path) -> Path:
    """Write the pairs that held as `evaluators/certified.json` lists them: that file is a copy of this one."""
    file.write_text(listed(held_pairs(matrix)), encoding="utf-8")
    return file


def listed(pairs: Pairs) -> str:
    """Pairs as JSON, a regime and size a line."""
    regimes = []
    for regime, by_n in pairs.items():
        lines = [f'    "{n}": {json.dumps([list(pair) for pair in same])}' for n, same in by_n.items()]
        regimes.append(f'  "{regime}": {{\n' + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(regimes) + "\n}\n"


def measurements_of(matrix: Matrix) -> Iterator[Measurement]:
    """Every cell as rows: the regime stands under `rule`, estimator and interval under `estimator`.

    A width that is infinite is left out.
    """
    for cell in matrix.cells:
        where: dict[str, Any] = {
            "world": cell.name,
            "rule": cell.regime,
            "estimator": f"{cell.estimator}+{cell.interval}",
            "n": cell.n,
        }
        shares = {name: getattr(cell, name) for name in ("coverage", "low_error", "high_error")}
        numbers = {name: (share, cell.share_stderr(share)) for name, share in shares.items()}
        numbers |= {"bias": (cell.bias, cell.bias_stderr), "rmse": (cell.rmse, cell.rmse_stderr)}
        if np.isfinite(cell.width):
            numbers["width"] = (cell.width, cell.width_stderr)
        if cell.regime == "drift":
            numbers["bias_now"] = (cell.bias_now, cell.bias_stderr)
        for name, (value, stderr) in numbers.items():
            yield Measurement(section="ope", measure=f"matrix_{name}", value=value, stderr=stderr, **where)


def claims_of(matrix: Matrix, gate_interval: str) -> list[Claim]:
    """What the matrix says: its extent, and where the gate's pair held.

    Args:
        matrix: as measured.
        gate_interval: name of the gate's interval.
    """
    pairs, held = {(cell.estimator, cell.interval) for cell in matrix.cells}, held_pairs(matrix)
    n_places = len({(cell.regime, cell.name, cell.n) for cell in matrix.cells})
    claims = [
        Claim(
            "Estimator and interval pairs measured in six regimes on cross-fitted and given reward models",
            f"{len(pairs)} pairs in {n_places} places, {len(matrix.cells):,} cells",
            "reported",
            f"{len({(r.estimator, r.interval) for r in matrix.refused})} pairs refuse or are left out",
            None,
        )
    ]
    for regime, by_n in held.items():
        where = [n for n, same in by_n.items() if (DIFFERENCE, gate_interval) in same]
        cells = [c for c in matrix.cells if (c.regime, c.estimator, c.interval) == (regime, DIFFERENCE, gate_interval)]
        is_required = regime == "iid"
        claims.append(
            Claim(
                f"The gate's pair, {DIFFERENCE} with {gate_interval}, on {regime} logs",
                f"held at n = {', '.join(f'{n:,}' for n in where) or 'none'}; worst lower bound errs "
                f"{max(cell.low_error for cell in cells):.3f}",
                f"held at n = {', '.join(f'{n:,}' for n in by_n)}" if is_required else "reported",
                f"{len(cells)} worlds and sizes",
                len(where) == len(by_n) if is_required else None,
            )
        )
    return claims
