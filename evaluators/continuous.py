"""Logs whose action is a number with a density, not a slot: kernel IPS and kernel DR of a chosen value.

For logs from elsewhere: each row has the value that was sent, the density the logger drew it from, and
the value the target would have sent. A target that draws its values is judged on one draw a row. The
kernel is cut at the declared ends of an axis, so that weights average 1 there too; the bias is
O(bandwidth^2) inside and O(bandwidth) where the target sends an end (see `estimators.kernel`).
Source: Kallus & Zhou (2018).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from evaluators.estimation import finish_as
from evaluators.kernels import NAMES, between, mass
from evaluators.rows import Estimate, Floats, Ints, RewardRange, Rows
from evaluators.scores import RowScores, origin_of
from evaluators.sums import Weights, summed

__all__ = ["DensityLog", "Params", "estimate", "scores"]


@dataclass(frozen=True, slots=True)
class Params:
    """The kernel: one bandwidth per axis, in its unit."""

    bandwidths: tuple[float, ...] = field(default=(0.1,), metadata={"gt": 0.0, "le": 1e9, "unit": "of the axis"})
    kernel: str = field(default="epanechnikov", metadata={"choices": NAMES})


class DensityLog(NamedTuple):
    """n rows with values on `axes` axes, any unit."""

    reward: Floats  # (n,) reward units
    sent: Floats  # (n, axes) what the logger sent
    density: Floats  # (n,) joint density it was drawn from, > 0, per product of the axes' units
    wanted: Floats  # (n, axes) what the target would have sent
    ends: Floats | None = None  # (axes, 2) lowest and highest value of each axis; None: the whole line
    at_sent: Floats | None = None  # (n,) reward model at `sent`; None: plain IPS
    at_wanted: Floats | None = None  # (n,) and at `wanted`
    cluster: Ints | None = None  # (n,) label of what moves together
    reward_range: RewardRange | None = None


def scores(params: Params, log: DensityLog) -> RowScores:
    """Row scores K(wanted - sent) / density x r, or q(wanted) + u (r - q(sent)).

    Args:
        params: kernel and bandwidths.
        log: checked here.

    Returns:
        (n,) arrays; `spread` and `design` are NaN: the logger is known at the value sent only.

    Raises:
        ValueError: shapes that disagree, a number that is not finite, a density that is not positive,
            values outside the ends, a model at one of the two values only.
    """
    _check(params, log)
    weight = between(params.kernel, log.wanted, log.sent, bandwidths=params.bandwidths)
    weight = weight / (log.density * np.prod(params.bandwidths) * _reach(params, log))
    n, origin, unknown = log.reward.size, origin_of(log.reward_range), np.full(log.reward.size, np.nan)
    part = np.zeros(n) if log.at_wanted is None else log.at_wanted
    residual = log.reward if log.at_sent is None else log.reward - log.at_sent
    return RowScores(part - origin, weight, residual, np.ones(n), unknown, unknown, origin)


def estimate(params: Params, log: DensityLog, interval: object, *, confidence: float = 0.95) -> Estimate:
    """Value and interval.

    Args:
        params: kernel and bandwidths.
        log: of one logger.
        interval: Params of an interval that reads sums of scores only: t or hall.
        confidence: two-sided.

    Raises:
        ValueError: as `scores`, or the interval needs more.
    """
    found = scores(params, log)
    n, u, one = log.reward.size, found.weight, np.ones((1, 1))
    weights = Weights(n, u.sum(), np.square(u).sum(), u.max(), np.nan, np.nan)
    about = Rows(log.reward, np.zeros(n, np.int64), one, one, cluster=log.cluster, reward_range=log.reward_range)
    return finish_as(interval, summed(found, weights, rows=about, keep=True), confidence=confidence)


def _reach(params: Params, log: DensityLog) -> Floats:
    """(n,) share of the kernel around `wanted` that lies between the ends."""
    share = np.ones(log.reward.size)
    for axis, (lo, hi) in enumerate([] if log.ends is None else log.ends):
        left, right = ((end - log.wanted[:, axis]) / params.bandwidths[axis] for end in (lo, hi))
        share = share * (mass(params.kernel, right) - mass(params.kernel, left))
    return share


def _check(params: Params, log: DensityLog) -> None:
    n, axes = log.reward.size, len(params.bandwidths)
    shapes = {"reward": (n,), "density": (n,), "sent": (n, axes), "wanted": (n, axes), "ends": (axes, 2)}
    for name, shape in (shapes | {"at_sent": (n,), "at_wanted": (n,)}).items():
        values = getattr(log, name)
        if values is not None and (values.shape != shape or n == 0 or not np.isfinite(values).all()):
            raise ValueError(f"{name} has shape {values.shape}, need finite numbers of shape {shape}, and some rows")
    if not log.density.min() > 0:
        raise ValueError(f"density = {log.density.min():.6g} somewhere, need > 0; was this value drawn from it?")
    if (log.at_sent is None) != (log.at_wanted is None):
        raise ValueError("a reward model at one of at_sent and at_wanted only, need both or neither")
    for name in ("sent", "wanted") if log.ends is not None else ():
        values, (lo, hi) = getattr(log, name), np.transpose(np.asarray(log.ends))
        if not ((values >= lo) & (values <= hi)).all():
            raise ValueError(f"{name} lies outside the ends {log.ends} somewhere; need every value between them")
