"""Convergence: from which evaluation on is what is deployed within tolerance of the oracle.

Evaluations count from 1. The tolerance is max(0.05 (best - worst), 0.02 reward_span); a seed has
converged by n if it is inside at *every* evaluation from n to the end of the run. Seeds that began
inside are a share of their own (`kept`): staying good is another feat than becoming it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluators.rows import Bools, Floats
from evaluators.shares import clopper_pearson

GAP_SHARE = 0.05  # of best - worst
SPAN_SHARE = 0.02  # of the declared reward range
STRICT_SHARE = 0.1  # of the start gap may be left
ROUNDING = 1e-12  # reward units: equal values must not differ by their last digit


class Share(NamedTuple):
    """How many seeds did it, by one evaluation."""

    by: int  # evaluation n
    hits: int
    total: int
    share: float  # NaN when total is 0
    lo: float  # one-sided 95 % Clopper-Pearson lower bound


class Convergence(NamedTuple):
    """Shares per evaluation asked for."""

    reached: tuple[Share, ...]  # of seeds that began outside the tolerance
    strict: tuple[Share, ...]  # of the same: also >= 90 % of the start gap closed
    kept: tuple[Share, ...]  # of seeds that began inside


def converged_by(
    deployed: Floats,
    best: ArrayLike,
    *,
    worst: ArrayLike,
    reward_span: float,
    by: tuple[int, ...] = (50, 100, 200),
) -> Convergence:
    """Share of seeds converged by each evaluation, with exact lower bounds.

    Args:
        deployed: (s, t) exact value of the approved parameters at each evaluation; column 0 is
            evaluation 1 and holds the start. Runs last longer than the last `by`.
        best: oracle value, a number, (t,) under drift, or anything that broadcasts to (s, t).
        worst: worst expected reward under the hard limits, likewise.
        reward_span: width of the declared reward range.
        by: evaluations to report, each in [1, t].

    Raises:
        ValueError: a NaN, an evaluation outside the run, best < worst, a span that is not positive
            or a deployed value above the best.
    """
    top, bottom = (np.broadcast_to(np.asarray(v, np.float64), deployed.shape) for v in (best, worst))
    _check(deployed, top, bottom=bottom, reward_span=reward_span, by=by)
    gap = top - deployed
    tolerance = np.maximum(GAP_SHARE * (top - bottom), SPAN_SHARE * reward_span) + ROUNDING
    inside = _from_now_on(gap <= tolerance)
    closed = _from_now_on((gap <= tolerance) & (gap <= STRICT_SHARE * gap[:, :1] + ROUNDING))
    began_inside = gap[:, 0] <= tolerance[:, 0]
    return Convergence(
        reached=_shares(inside[~began_inside], by),
        strict=_shares(closed[~began_inside], by),
        kept=_shares(inside[began_inside], by),
    )


def _from_now_on(claim: Bools) -> Bools:
    """(s, t) whether the claim holds at t and at every later evaluation."""
    return np.logical_and.accumulate(claim[:, ::-1], axis=1)[:, ::-1]


def _shares(holds: Bools, by: tuple[int, ...]) -> tuple[Share, ...]:
    total = holds.shape[0]
    shares = []
    for n in by:
        hits = int(holds[:, n - 1].sum())
        lo = clopper_pearson(hits, total, confidence=0.95, side="lower").lo
        shares.append(Share(n, hits, total, hits / total if total else float("nan"), lo))
    return tuple(shares)


def _check(deployed: Floats, top: Floats, *, bottom: Floats, reward_span: float, by: tuple[int, ...]) -> None:
    n_steps = deployed.shape[1]
    outside = [n for n in by if not 1 <= n <= n_steps]
    if outside:
        raise ValueError(f"by = {outside[0]}, need an evaluation in [1, {n_steps}] of the run")
    if not reward_span > 0 or not np.isfinite(reward_span):
        raise ValueError(f"reward_span = {reward_span:.6g}, need a finite number > 0")
    for name, values in (("deployed", deployed), ("best", top), ("worst", bottom)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds NaN or infinity, need finite reward units")
    slack = 1e-5 * reward_span  # float32 simulations: ties are called at this distance too
    for what, gap in (("best - worst", top - bottom), ("best - deployed", top - deployed)):
        if gap.min() < -slack:
            raise ValueError(f"{what} is {gap.min():.6g} somewhere, need >= 0; is best the oracle?")
