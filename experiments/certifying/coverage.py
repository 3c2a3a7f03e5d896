"""Do the intervals keep their promise on the base problem and on held-out draws of it?

Thousands of logs whose truth is a sum, summed and bounded at once. A one-sided 95 % bound is an end
of the interval at 90 %, and errs where the truth lies beyond it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluators.estimation import Estimator, finish_as, summarise_logs
from evaluators.estimators import doubly_robust, snips
from evaluators.intervals import assisted, half_model, hall, hc3, model, t
from evaluators.rows import RewardRange, Rows
from evaluators.sums import Sums
from experiments.certifying.pool import BASE, HELD_OUT, Drawn, Pool, open_pool
from experiments.measurement import Measurement
from experiments.results import Claim

__all__ = [
    "PAIRS",
    "Kept",
    "Sizes",
    "bounds_kept",
    "check_coverage",
    "coverage_claims",
    "drawn_in_turn",
    "measure_coverage",
    "rows_of_pool",
    "shares",
]

Floats = NDArray[np.float64]
ROWS_AT_ONCE = 400_000
ESTIMATORS: dict[str, Estimator] = {"doubly_robust": doubly_robust.Params(), "snips": snips.Params()}
PAIRS: tuple[tuple[str, str, object], ...] = (
    ("doubly_robust", "t", t.Params()),
    ("doubly_robust", "assisted", assisted.Params()),
    ("doubly_robust", "half_model", half_model.Params()),
    ("doubly_robust", "model", model.Params()),
    ("doubly_robust", "hall", hall.Params()),
    ("snips", "t", t.Params()),
    ("snips", "hc3", hc3.Params()),
)
BANDS = {200: (0.945, 0.98), 2000: (0.935, 0.97)}  # of the default interval's coverage
WIDTHS = {200: 1.10, 2000: 1.03}  # times the width of plain t
SIDE, SIDE_ANY, T_FAILS = 0.06, 0.065, 0.08
SNIPS_BAND, SNIPS_WIDTH = (0.935, 0.965), 0.112
SIDES = ("lower_error", "upper_error")
ENOUGH = 2000  # logs of a problem below which shares are reported, not judged
WORKERS = 2


@dataclass(frozen=True)
class Sizes:
    """Logs of each length: of the base problem, and of every held-out draw."""

    base: int = 4000
    held_out: int = 2000


class Kept(NamedTuple):
    """What one estimator and interval did on n_logs logs of n rows of one problem."""

    problem: int
    estimator: str
    interval: str
    n: int
    n_logs: int
    coverage: float
    lower_error: float  # of the one-sided 95 % lower bound
    upper_error: float
    width: float

    def stderr(self, share: float) -> float:
        """Monte Carlo standard error of a share."""
        return float(np.sqrt(max(share * (1 - share), 1 / self.n_logs) / self.n_logs))


def rows_of_pool(pool: Pool, drawn: Drawn) -> Rows:
    """Logs of a pool as an estimator reads them, one after another."""
    return Rows(
        drawn.reward.ravel(),
        drawn.slot.ravel().astype(np.int64),
        pool.behavior,
        pool.target,
        pool.predicted,
        reward_range=RewardRange(0.0, 1.0),
        row=drawn.row.ravel().astype(np.int64),
    )


class Ends(NamedTuple):
    """Per log: (n_logs,) whether the interval covers, whether each one-sided bound errs, its width."""

    covers: NDArray[np.bool_]
    low_errs: NDArray[np.bool_]
    high_errs: NDArray[np.bool_]
    width: Floats


def bounds_kept(interval: object, sums: Sums, truth: float) -> Ends:
    """How an interval at 95 %, and its one-sided bounds at 95 %, stand to the truth.

    Args:
        interval: Params of a file in `evaluators/intervals/`.
        sums: of many logs.
        truth: exact, reward units.
    """
    wide, sided = (finish_as(interval, sums, confidence=level) for level in (0.95, 0.90))
    covers = (np.asarray(wide.lo) <= truth) & (truth <= np.asarray(wide.hi))
    low, high = np.asarray(sided.lo) > truth, np.asarray(sided.hi) < truth
    return Ends(covers, low, high, np.asarray(wide.hi) - np.asarray(wide.lo))


def drawn_in_turn(pool: Pool, n: int, n_logs: int, *, seed: int) -> Iterator[tuple[int, Rows]]:
    """Logs of a pool, a few hundred thousand rows at a time: (how many logs, their rows)."""
    rng, done = np.random.default_rng([seed, n]), 0
    while done < n_logs:
        now = min(max(ROWS_AT_ONCE // n, 1), n_logs - done)
        yield now, rows_of_pool(pool, pool.draw(rng, now, n))
        done += now


def shares(problem: int, n: int, n_logs: int, *, seed: int) -> list[Kept]:
    """Every pair of `PAIRS` on `n_logs` logs of n rows of one problem.

    Args:
        problem: BASE or one of HELD_OUT.
        n: rows of a log.
        n_logs: logs.
        seed: of the logs.
    """
    pool = open_pool(problem)
    found: dict[tuple[str, str], list[Ends]] = {(one, name): [] for one, name, _ in PAIRS}
    for now, rows in drawn_in_turn(pool, n, n_logs, seed=seed + problem):
        added = summarise_logs(ESTIMATORS, rows, n_logs=now)
        for one, name, interval in PAIRS:
            found[one, name].append(bounds_kept(interval, added[one], pool.truth))
    return [_kept(problem, pair, n, ends=ends) for pair, ends in found.items()]


def _kept(problem: int, pair: tuple[str, str], n: int, *, ends: list[Ends]) -> Kept:
    covers, low, high, width = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    coverage, lower, upper = (float(flags.mean()) for flags in (covers, low, high))
    return Kept(problem, *pair, n, len(covers), coverage, lower, upper, float(width.mean()))


def check_coverage(sizes: Sizes, *, seed: int) -> tuple[list[Kept], list[Claim]]:
    """Coverage, one-sided errors and widths on the base problem and the held-out draws.

    Args:
        sizes: logs of each length.
        seed: of the logs.
    """
    problems = [(BASE, sizes.base), *((draw, sizes.held_out) for draw in HELD_OUT)]
    asked = [(problem, n, n_logs) for n in BANDS for problem, n_logs in problems]
    with ThreadPoolExecutor(WORKERS) as threads:
        kept = [one for found in threads.map(lambda a: shares(*a, seed=seed), asked) for one in found]
    return kept, [claim for n in BANDS for claim in coverage_claims([one for one in kept if one.n == n])]


def coverage_claims(kept: Sequence[Kept]) -> list[Claim]:
    """What logs of one length must show: the default holds, plain t is seen to fail, SNIPS holds at 2,000."""
    n = kept[0].n
    default = _of(kept, "doubly_robust", "assisted")
    plain = _of(kept, "doubly_robust", "t")
    found = [_covers(default), _sides(default), _side_anywhere(default), _width(default, plain), _fails(plain)]
    found += _snips(_of(kept, "snips", "hc3")) if n == max(BANDS) else []
    return found if min(one.n_logs for one in kept) >= ENOUGH else [claim._replace(holds=None) for claim in found]


def _of(kept: Sequence[Kept], estimator: str, interval: str) -> list[Kept]:
    return [one for one in kept if (one.estimator, one.interval) == (estimator, interval)]


def _logs(kept: Sequence[Kept]) -> str:
    return f"{len(kept)} problems, {sum(one.n_logs for one in kept):,} logs"


def _covers(kept: Sequence[Kept]) -> Claim:
    n, each = kept[0].n, [one.coverage for one in kept]
    mean, (lo, hi) = float(np.mean(each)), BANDS[n]
    return Claim(
        f"Default DR 95 % interval covers the truth, n = {n:,}, base problem and six held-out draws",
        f"{mean:.4f} (base {each[0]:.4f}, held out {min(each[1:]):.4f} to {max(each[1:]):.4f})",
        f"mean in [{lo:g}, {hi:g}]",
        f"standard error {max(one.stderr(mean) for one in kept):.4f} each, {_logs(kept)}",
        lo <= mean <= hi,
    )


def _sides(kept: Sequence[Kept]) -> Claim:
    low, high = (float(np.mean([getattr(one, side) for one in kept])) for side in ("lower_error", "upper_error"))
    return Claim(
        f"Its one-sided 95 % bounds err, n = {kept[0].n:,}, mean over the problems",
        f"lower {low:.4f}, upper {high:.4f}",
        f"<= {SIDE:g} each",
        f"standard error {kept[0].stderr(low) / np.sqrt(len(kept)):.4f}, {_logs(kept)}",
        max(low, high) <= SIDE,
    )


def _side_anywhere(kept: Sequence[Kept]) -> Claim:
    worst, error, side = max((getattr(one, side), one.stderr(SIDE_ANY), side) for one in kept for side in SIDES)
    return Claim(
        f"Its one-sided 95 % bounds err, n = {kept[0].n:,}, the worst of the problems",
        f"{worst:.4f} ({side.removesuffix('_error')} bound)",
        f"<= {SIDE_ANY:g}",
        f"standard error {error:.4f}, {_logs(kept)}",
        worst <= SIDE_ANY,
    )


def _width(default: Sequence[Kept], plain: Sequence[Kept]) -> Claim:
    ratio = [one.width / other.width for one, other in zip(default, plain, strict=True)]
    limit = WIDTHS[default[0].n]
    return Claim(
        f"Its mean width over that of plain t, n = {default[0].n:,}",
        f"{np.mean(ratio):.3f} (base {ratio[0]:.3f}, held out {min(ratio[1:]):.3f} to {max(ratio[1:]):.3f})",
        f"mean <= {limit:g}",
        _logs(default),
        float(np.mean(ratio)) <= limit,
    )


def _fails(plain: Sequence[Kept]) -> Claim:
    low = float(np.mean([one.lower_error for one in plain]))
    return Claim(
        f"Control: plain t's one-sided 95 % lower bound errs, n = {plain[0].n:,}",
        f"{low:.4f} ({min(one.lower_error for one in plain):.4f} to {max(one.lower_error for one in plain):.4f})",
        f"> {T_FAILS:g}: it fails",
        f"standard error {plain[0].stderr(low) / np.sqrt(len(plain)):.4f}, {_logs(plain)}",
        low > T_FAILS,
    )


def _snips(kept: Sequence[Kept]) -> list[Claim]:
    base, (lo, hi) = kept[0], SNIPS_BAND
    held_out = [one.coverage for one in kept[1:]]
    return [
        Claim(
            f"SNIPS 95 % interval covers the truth, n = {base.n:,}, base problem",
            f"{base.coverage:.4f} (held out {min(held_out):.4f} to {max(held_out):.4f})",
            f"in [{lo:g}, {hi:g}]",
            f"standard error {base.stderr(base.coverage):.4f}, {base.n_logs:,} logs",
            lo <= base.coverage <= hi,
        ),
        Claim(
            f"Its mean width, n = {base.n:,}, base problem (Open Bandit Pipeline 0.5.7: 0.173)",
            f"{base.width:.4f}",
            f"<= {SNIPS_WIDTH:g}",
            f"{base.n_logs:,} logs",
            base.width <= SNIPS_WIDTH,
        ),
    ]


def measure_coverage(kept: Sequence[Kept]) -> Iterator[Measurement]:
    """What every pair did, as tidy measurements; the interval stands in `rule`."""
    for one in kept:
        row = partial(
            Measurement,
            section="ope",
            world="base" if one.problem == BASE else f"held_out_{one.problem}",
            estimator=one.estimator,
            rule=one.interval,
            n=one.n,
        )
        for measure in ("coverage", *SIDES):
            share = getattr(one, measure)
            yield row(measure=measure, value=share, stderr=one.stderr(share))
        yield row(measure="width", value=one.width)
