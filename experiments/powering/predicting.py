"""The fast answer: the gate's power at any log size from what one decision is expected to add.

A normal approximation: the mean difference has its own variance, the gate's bound the one it expects to
see, and both are n times smaller for n decisions. The chance that the support rule is met multiplies it:
exactly for the heaviest weight, by the delta method for the ESS. What it leaves out is the skew of a score
with heavy weights, which is why `experiment=power` simulates beside every answer.
Source: the gate's bound is `evaluators.intervals`; the approximation is ours, measured by `experiment=power`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from evaluators.gates import Params as GateParams
from evaluators.gates import certified
from evaluators.intervals import gate, half_model, model, t
from evaluators.quantiles import t_quantile
from evaluators.rows import Floats
from experiments.powering.contests import Contest

__all__ = [
    "SMALLEST",
    "Design",
    "Spread",
    "bound_power",
    "check_interval",
    "check_support",
    "power",
    "smallest",
]
__all__ += ["support_chance"]

SMALLEST, STEP = 20, 1.2  # rows; ratio of the sizes between which the wanted power is bracketed


class Spread(NamedTuple):
    """Of one decision's difference score, squared reward units."""

    score: float  # its variance
    model: float  # n times the model variance that the gate expects


class Design(NamedTuple):
    """One contest under one logger, ready for any log size."""

    contest: Contest
    floor: float
    behavior: Floats  # (m, k)
    spread_at: Callable[[int], Spread]  # of a log of n rows: its reward model depends on n


def check_interval(params: GateParams, *, most: int) -> None:
    """Refuse a gate whose bound cannot be predicted, or that would approve nothing.

    Args:
        params: the gate's numbers.
        most: largest log size thought of.

    Raises:
        ValueError: its interval is none of gate, half_model, model, t, or is not certified for a log of `most` rows.
    """
    interval = params.interval
    if not isinstance(interval, gate.Params | half_model.Params | model.Params | t.Params):
        got = type(interval).__module__.rsplit(".", 1)[-1]
        raise ValueError(f"gate.interval is {got}, need gate, half_model, model or t: the power of others is not known")
    found = certified(params, most)
    if not found.holds:
        raise ValueError(f"the gate approves nothing: {found.reason}; see gate.interval, gate.regime, experiment.most")


def check_support(params: GateParams, design: Design) -> None:
    """Refuse a candidate that this logger can never judge, however long its log.

    Raises:
        ValueError: too much of the target's or the baseline's mass is where the logger never goes.
    """
    for name, policy in (("candidate", design.contest.target), ("baseline", design.contest.baseline)):
        lost = _unsupported(design, policy)
        if lost > params.max_unsupported:
            raise ValueError(
                f"floor {design.floor:g}: {lost:.1%} of the {name}'s mass is where the logger never goes, need at most "
                f"{params.max_unsupported:.1%} (gate.max_unsupported); a higher floor mends it"
            )


def _unsupported(design: Design, policy: Floats) -> float:
    return 1 - float(design.contest.share @ np.where(design.behavior > 0, policy, 0.0).sum(axis=1))


def power(params: GateParams, design: Design, n: int) -> float:
    """Chance that the gate approves the design's target on a log of n decisions.

    Args:
        params: the gate's numbers; `max_judged` candidates share alpha.
        design: who is judged, on whose log.
        n: decisions.
    """
    if not certified(params, n).holds:
        return 0.0
    return bound_power(params, design, n) * support_chance(params, design, n)


def bound_power(params: GateParams, design: Design, n: int) -> float:
    """Chance that the lower bound of the difference is >= 0; arguments as `power`."""
    spread = design.spread_at(n)
    quantile = t_quantile(1 - params.alpha / params.max_judged, n - 1)
    margin = quantile * np.sqrt(_seen(params.interval, spread, n) / n)
    return float(ndtr((design.contest.difference - margin) / np.sqrt(spread.score / n)))


def _seen(interval: object, spread: Spread, n: int) -> float:
    """Variance of one decision that the bound's stderr expects."""
    if isinstance(interval, gate.Params):
        return _seen(half_model.Params() if n < interval.large else model.Params(), spread, n)
    if isinstance(interval, half_model.Params):
        return (spread.score + spread.model) / 2
    return spread.model if isinstance(interval, model.Params) else spread.score


def support_chance(params: GateParams, design: Design, n: int) -> float:
    """Chance that the log's support suffices for target and baseline; arguments as `power`."""
    share, behavior = design.contest.share, design.behavior
    safe = np.where(behavior > 0, behavior, 1.0)
    chance, heavy = 1.0, np.zeros(behavior.shape, np.bool_)
    for policy in (design.contest.target, design.contest.baseline):
        weight = np.where(behavior > 0, policy / safe, 0.0)
        if _unsupported(design, policy) > params.max_unsupported:
            return 0.0
        heavy |= weight > params.max_weight_share * n
        mean, square, cube, fourth = (float(share @ np.vecdot(behavior, weight**i)) for i in range(1, 5))
        # the variance of 2 log(sum w) - log(sum w^2), per decision
        variance = 4 * (square / mean**2 - 1) + fourth / square**2 - 1 - 4 * (cube / (mean * square) - 1)
        gap = np.log(n * mean**2 / square) - np.log(params.min_ess)
        chance *= float(ndtr(gap / np.sqrt(variance / n))) if variance > 1e-12 else float(gap >= 0)
    return chance * float((1 - share @ np.where(heavy, behavior, 0.0).sum(axis=1)) ** n)


def smallest(power_at: Callable[[int], float], wanted: float, *, most: int) -> int | None:
    """The smallest log size with the wanted power, None if none up to `most` has it.

    The gate changes its bound at one size, so power may dip there: the answer is the first size reached.

    Args:
        power_at: power of a log of n decisions.
        wanted: 0..1.
        most: largest size tried.

    >>> smallest(lambda n: n / 1000, 0.8, most=10_000)
    800
    """
    below, n = SMALLEST - 1, SMALLEST
    while power_at(n) < wanted:
        if n >= most:
            return None
        below, n = n, min(int(n * STEP) + 1, most)
    while n - below > 1:
        middle = (below + n) // 2
        below, n = (below, middle) if power_at(middle) >= wanted else (middle, n)
    return n
