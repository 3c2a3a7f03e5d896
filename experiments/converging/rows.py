"""The numbers of a convergence run as tidy measurements."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from evaluators.regret import Convergence
from evaluators.resampling import Interval
from experiments.converging.comparing import THRESHOLDS, Player, Table, middle
from experiments.converging.pictures import Curves
from experiments.converging.running import Run
from experiments.converging.scoring import Bin, converged, excess, falls
from experiments.converging.surfaces import Surface
from experiments.measurement import Measurement

__all__ = ["measure_bins", "measure_curves", "measure_run", "measure_table"]

CURVE = 5  # evaluations between two points of a curve that is kept


def measure_run(run: Run, surface: Surface, *, by: tuple[int, ...], is_control: bool) -> Iterator[Measurement]:
    """Shares converged, approvals, refusals and losing approvals of one policy on one surface."""
    row = partial(
        Measurement, section="convergence", world=run.where.label, task=run.task, policy=run.policy, rule=run.rule
    )  # fmt: skip
    if not is_control:
        yield from _shares(row, converged(run, surface, by=by))
        yield row(measure="approvals_beyond_minimum", value=float(np.median(excess(run, surface))))
    found = falls(run, surface)
    yield row(measure="approvals", n=len(run.centre), value=found.approvals / len(run.centre))
    if found.approvals:
        yield row(measure="approvals_that_lose", n=found.approvals, value=found.fallen / found.approvals)
    for name, column in (("steps", 1), ("refusals", 2)):
        yield row(measure=name, n=len(run.centre), value=float(run.counts[:, column].mean()))


def _shares(row: "partial[Measurement]", found: Convergence) -> Iterator[Measurement]:
    for measure in ("reached", "strict", "kept"):
        for share in getattr(found, measure):
            if share.total:
                yield row(measure=measure, n=share.by, value=share.share, lo=share.lo, hi=1.0)


def measure_curves(world: str, player: Player, curves: Curves) -> Iterator[Measurement]:
    """Regret and share settled by evaluation, and the profile by thresholds (n: hundredths of a tolerance)."""
    row = partial(Measurement, section="convergence", world=world, policy=player.policy, rule=player.rule)
    for measure, drawn in (("mean_regret", curves.regret), ("settled", curves.settled)):
        for t in range(1, len(drawn.value) + 1):
            if t == 1 or t % CURVE == 0:
                lo, hi = _ends(drawn, t - 1)
                yield row(measure=measure, t=t, value=float(drawn.value[t - 1]), lo=lo, hi=hi)
    for i, threshold in enumerate(THRESHOLDS):
        lo, hi = _ends(curves.profile, i)
        yield row(measure="profile", n=round(100 * threshold), value=float(curves.profile.value[i]), lo=lo, hi=hi)


def _ends(drawn: Interval, i: int) -> tuple[float | None, float | None]:
    """The interval's ends, None where one run has none."""
    lo, hi = float(drawn.lo[i]), float(drawn.hi[i])
    return (lo, hi) if np.isfinite(lo) else (None, None)


def measure_table(
    world: str, table: Table, found: Mapping[tuple[str, int], Interval], *, by: Sequence[int]
) -> Iterator[Measurement]:
    """Interquartile means of all players, and the flagship's probability of improvement over each other one.

    Args:
        world: name of the worlds together.
        table: the players.
        found: by name of the other and evaluation.
        by: evaluations.
    """
    for player in table.players:
        row = partial(Measurement, section="convergence", world=world, policy=player.policy, rule=player.rule)
        for n in by:
            drawn = middle(table, player, by=n)
            yield row(
                measure="interquartile_mean", n=n, value=float(drawn.value), lo=float(drawn.lo), hi=float(drawn.hi)
            )
            if (player.name, n) in found:
                won = found[player.name, n]
                yield row(measure="flagship_ahead", n=n, value=float(won.value), lo=float(won.lo), hi=float(won.hi))


def measure_bins(world: str, policy: str, bins: Sequence[Bin]) -> Iterator[Measurement]:
    """Reliability of the live statement by bin of confidence (n: hundredths, its lower edge)."""
    for one in bins:
        row = partial(Measurement, section="convergence", world=world, policy=policy, n=round(100 * one.lo))
        yield row(measure="live_confidence", value=one.confidence)
        yield row(measure="live_true", value=one.true / one.total)
        yield row(measure="live_evaluations", value=float(one.total))
