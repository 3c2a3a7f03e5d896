"""Do confidence sequences keep their promise at every decision, and how wide are they?

Runs of 10,000 decisions of two loggers, one of which learns from its rewards (`loggers.py`). The
betting sequence must hold on both. The asymptotic sequence on plain doubly robust scores is the
control: on the base problem it must be caught excluding the truth too often, or the check sees nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from evaluators import betting
from evaluators.closed_sequences import Path, asymptotic, empirical_bernstein
from evaluators.cut import CutScores, CutTables, cut_scores, cut_tables
from evaluators.rows import Bools, Floats, RewardRange, Rows
from evaluators.shares import clopper_pearson
from experiments.certifying.loggers import Logger, base_logger, learning_logger
from experiments.certifying.pool import Drawn, Pool
from experiments.measurement import Measurement
from experiments.results import Claim

N_DECISIONS = 10_000
LEVEL = 0.05  # of ever excluding the truth
MAX_WIDTH = {200: 0.46, 2000: 0.175, 10_000: 0.085}  # decisions: mean width, reward units
BLOCK = 100  # runs at once
BETTING, BERNSTEIN, ASYMPTOTIC = "betting", "empirical_bernstein", "asymptotic_dr"
BERNSTEIN_CUT = 10.0
PARAMS = betting.Params()


class Found(NamedTuple):
    """What this part of the certification hands to the report."""

    measurements: tuple[Measurement, ...]
    claims: tuple[Claim, ...]


class Block(NamedTuple):
    """Some runs of one logger, scored: (cuts, runs, n) and (runs, n)."""

    scores: CutScores
    paths: Mapping[str, Path]


def certify_sequences(n_runs: int, seed: int, *, n_widths: int = 200, n_decisions: int = N_DECISIONS) -> Found:
    """How often three sequences ever exclude the truth on two loggers, and how wide they are on the base problem.

    Args:
        n_runs: runs per logger.
        seed: of all draws.
        n_widths: further runs, of the base problem, whose widths are measured; at least 2.
        n_decisions: of each run; widths are taken at those of 200, 2,000 and 10,000 that it reaches.

    Returns:
        Measurements `ever_excluded` per logger and sequence, and `sequence_width` per sequence and number of decisions.
    """
    measurements: list[Measurement] = []
    claims: list[Claim] = []
    for place, logger in enumerate((base_logger(), learning_logger())):
        rng = np.random.default_rng([seed, place])
        for name, excluded in exclusions(logger, rng, n_runs=n_runs, n_decisions=n_decisions).items():
            measurements.append(_share(excluded, world=logger.name, name=name, n=n_decisions))
            claims.append(exclusion_claim(logger.name, name, hits=int(excluded.sum()), total=n_runs, n=n_decisions))
    sizes = tuple(size for size in MAX_WIDTH if size <= n_decisions)
    for name, found in widths(base_logger(), np.random.default_rng([seed, 2]), n_runs=n_widths, sizes=sizes).items():
        rows = [_mean(one, name=name, n=size) for one, size in zip(found.T, sizes, strict=True)]
        measurements += rows
        claims += [width_claim(row) for row in rows if name == BETTING]
    return Found(tuple(measurements), tuple(claims))


def exclusions(logger: Logger, rng: np.random.Generator, *, n_runs: int, n_decisions: int) -> dict[str, Bools]:
    """Which runs exclude the truth at any decision, by sequence: (n_runs,) each."""
    truth, tables = logger.pool.truth, _tables(logger)
    found: dict[str, list[Bools]] = {name: [] for name in (BETTING, BERNSTEIN, ASYMPTOTIC)}
    for first in range(0, n_runs, BLOCK):
        block = _block(logger, tables, logger.draw(rng, min(BLOCK, n_runs - first), n_decisions))
        found[BETTING].append(betting.ever_excludes(PARAMS, block.scores, truth))
        for name, path in block.paths.items():
            found[name].append(path.ever_excludes(truth))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def widths(logger: Logger, rng: np.random.Generator, *, n_runs: int, sizes: tuple[int, ...]) -> dict[str, Floats]:
    """Widths within the reward range after some numbers of decisions, by sequence: (n_runs, sizes) each."""
    tables, at = _tables(logger), np.array(sizes) - 1
    found: dict[str, list[Floats]] = {name: [] for name in (BETTING, BERNSTEIN, ASYMPTOTIC)}
    for first in range(0, n_runs, BLOCK):
        block = _block(logger, tables, logger.draw(rng, min(BLOCK, n_runs - first), max(sizes)))
        ends = betting.sequence(PARAMS, block.scores, sizes=sizes)
        found[BETTING].append(np.maximum(ends.hi - ends.lo, 0.0))
        for name, path in block.paths.items():
            found[name].append(np.minimum(path.hi[:, at], 1.0) - np.maximum(path.lo[:, at], 0.0))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def exclusion_claim(world: str, name: str, *, hits: int, total: int, n: int) -> Claim:
    """Runs that ever exclude the truth: few by the exact upper bound; of the control, on the base problem, many."""
    text = f"Runs of {n:,} decisions in which the {name} sequence ever excludes the truth ({world} logger)"
    words = f"{hits / total:.4f} ({hits:,} of {total:,})"
    if name != ASYMPTOTIC:
        hi = clopper_pearson(hits, total, side="upper").hi
        return Claim(text, words, f"<= {LEVEL:g} by the exact upper bound", f"upper bound {hi:.4f}", hi <= LEVEL)
    lo = clopper_pearson(hits, total, side="lower").lo
    holds = lo > LEVEL if world == "base" else None
    required = "reported" if holds is None else f"> {LEVEL:g} by the exact lower bound: the control fails"
    return Claim(text, words, required, f"lower bound {lo:.4f}", holds)


def width_claim(row: Measurement) -> Claim:
    """Mean width of the betting sequence after 200, 2,000 or 10,000 decisions."""
    limit = MAX_WIDTH[row.n or 0]
    text = f"Mean width of the {row.estimator} sequence after {row.n:,} decisions (base problem)"
    interval = f"[{row.lo:.4f}, {row.hi:.4f}]"
    return Claim(text, f"{row.value:.4f}", f"<= {limit:g}", interval, row.value <= limit)


def _tables(logger: Logger) -> CutTables:
    return cut_tables(_rows(logger.pool, logger.draw(np.random.default_rng(0), 1, 1)), PARAMS.cuts)


def _rows(pool: Pool, drawn: Drawn) -> Rows:
    row, slot = (index.reshape(-1).astype(np.int64) for index in (drawn.row, drawn.slot))
    unit = RewardRange(0.0, 1.0)
    return Rows(drawn.reward.reshape(-1), slot, pool.behavior, pool.target, pool.predicted, reward_range=unit, row=row)


def _block(logger: Logger, tables: CutTables, drawn: Drawn) -> Block:
    rows = _rows(logger.pool, drawn)
    scores = cut_scores(tables, rows).folded(len(drawn.row))
    part = (rows.target * logger.pool.predicted).sum(axis=1)
    plain = rows.at(part) + rows.at(tables.weight) * (rows.reward - rows.at(logger.pool.predicted))
    which = PARAMS.cuts.index(BERNSTEIN_CUT)
    bernstein = empirical_bernstein(scores.lower[which], scores.upper[which], cut=BERNSTEIN_CUT)
    return Block(scores, {BERNSTEIN: bernstein, ASYMPTOTIC: asymptotic(plain.reshape(drawn.reward.shape))})


def _share(excluded: Bools, *, world: str, name: str, n: int) -> Measurement:
    """The share of runs, its standard error and exact 95 % bounds."""
    share, bounds = float(excluded.mean()), clopper_pearson(int(excluded.sum()), excluded.size)
    stderr = float(np.sqrt(share * (1 - share) / excluded.size))
    return Measurement(
        section="ope", measure="ever_excluded", world=world, estimator=name, n=n,
        value=share, stderr=stderr, lo=bounds.lo, hi=bounds.hi,
    )  # fmt: skip


def _mean(width: Floats, *, name: str, n: int) -> Measurement:
    """The mean width, its standard error and +- 2 of them."""
    mean, stderr = float(width.mean()), float(width.std(ddof=1) / np.sqrt(width.size))
    return Measurement(
        section="ope", measure="sequence_width", world="base", estimator=name, n=n,
        value=mean, stderr=stderr, lo=mean - 2 * stderr, hi=mean + 2 * stderr,
    )  # fmt: skip
