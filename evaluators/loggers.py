"""Several loggers, one target: whose propensity a row has, and how much each logger's estimate counts.

Three answers, unbiased for every estimator that is, with rows that know which logger wrote them:
`stratified`: each row has its own logger's propensities; a logger that seldom does what the target
does spoils the mean. `balanced`: the mixture of all loggers, weighted by their rows; a weight is large
only if no logger goes there, and the variance of IPS is never above the stratified one's. `combined`:
one estimate per logger, averaged by rows or by precision. One logger makes all three the plain estimate.
`stratified` and `combined` need every logger to go wherever the target does, `balanced` only one of them.
`stratified` and `balanced` rows go to any estimator; their plain intervals take the rows' loggers to
be drawn at random, and are somewhat wide where each logger's number of rows was fixed.
Source: Agarwal, Basu, Schnabel & Joachims (2017), sections 4 and 5.
"""

from typing import Any, NamedTuple

import numpy as np

from evaluators.estimation import Estimator, finish, summarise
from evaluators.quantiles import Interval, t_interval
from evaluators.rows import ROUNDING, Estimate, Floats, Ints, RewardRange, Rows, check
from evaluators.sums import Sums

__all__ = ["Log", "balanced", "combined", "strata", "stratified"]

PRECISIONS = ("rows", "design", "sample")


class Log(NamedTuple):
    """n rows by L loggers, and c contexts with windows of k slots; fields as in `rows.Rows`."""

    reward: Floats  # (n,)
    slot: Ints  # (n,)
    logger: Ints  # (n,) who wrote each row, in [0, L)
    behavior: Floats  # (L, c, k) what each logger does in each context
    target: Floats  # (c, k)
    row: Ints | None = None  # (n,) context of each row; None: its own, c = n
    predicted: Floats | None = None  # (c, k)
    cluster: Ints | None = None
    reward_range: RewardRange | None = None
    action_ids: Ints | None = None  # (c, k)
    points: Floats | None = None


def stratified(log: Log) -> Rows:
    """Rows that each have their own logger's propensities.

    Args:
        log: of any number of loggers.

    Returns:
        L c table rows: logger after logger, context after context.

    Raises:
        ValueError: as `rows.check`, or a logger that is not one of L.
        TypeError: as `rows.check`.
    """
    _check_loggers(log)
    n_loggers, c, k = log.behavior.shape
    tables: dict[str, Any] = {
        name: None if values is None else np.tile(values, (n_loggers, 1))
        for name, values in (("target", log.target), ("predicted", log.predicted), ("action_ids", log.action_ids))
    }
    plain = _rows(log, log.behavior[0])._replace(behavior=log.behavior.reshape(n_loggers * c, k), **tables)
    return check(plain._replace(row=log.logger * c + _row(log)))


def balanced(log: Log) -> Rows:
    """Rows whose propensity is the mixture of the loggers, each weighted by its share of the rows.

    Args:
        log: of any number of loggers.

    Raises:
        ValueError: as `stratified`.
        TypeError: as `rows.check`.
    """
    _check_loggers(log)
    share = np.bincount(log.logger, minlength=len(log.behavior)) / log.logger.size
    return check(_rows(log, np.tensordot(share, log.behavior, axes=1)))


def strata(log: Log) -> list[Rows]:
    """Each logger's rows as a log of its own; loggers without rows are left out.

    Args:
        log: of any number of loggers.

    Raises:
        ValueError: as `stratified`.
        TypeError: as `rows.check`.
    """
    _check_loggers(log)
    found, all_rows = [], _row(log)
    for number in np.unique(log.logger):
        mine = log.logger == number
        cut: dict[str, Any] = {"reward": log.reward[mine], "slot": log.slot[mine], "row": all_rows[mine]}
        cut["cluster"] = None if log.cluster is None else log.cluster[mine]
        found.append(check(_rows(log, log.behavior[number])._replace(**cut)))
    return found


def combined(params: Estimator, log: Log, *, by: str = "design") -> Estimate:
    """One estimate per logger, and their weighted mean.

    Args:
        params: the estimator, with its interval and confidence, used for each logger.
        log: of any number of loggers.
        by: "rows": by numbers of rows, the stratified mean with the variance of strata. "design": by
            rows / E[w^2], which reads no reward and so keeps an unbiased estimator unbiased.
            "sample": by 1 / stderr^2, biased towards loggers whose rare rewards were not seen.

    Returns:
        The mean; for several loggers a t interval with Welch's degrees of freedom.

    Raises:
        ValueError: as `estimation.estimate`, an unknown `by`, or a logger whose error is unknown where
            it must count.
        TypeError: as `rows.check`.
    """
    if by not in PRECISIONS:
        raise ValueError(f"by = {by!r}, need one of {', '.join(PRECISIONS)}")
    parts = strata(log)
    if by != "rows":
        _refuse_gaps(parts, by)
    sums = [summarise({"one": params}, rows)["one"] for rows in parts]
    found = [finish(params, one) for one in sums]
    if len(found) == 1:
        return found[0]
    share = _shares(sums, found, by)
    value = share @ np.array([one.value for one in found])
    line = _welch(value, share, found, confidence=params.confidence)
    n = np.array([one.n for one in found])
    scale = share / n  # what a weight of one logger's counts in the mean
    total, square = (np.array([float(getattr(one.weights, name)) for one in sums]) for name in ("total", "square"))
    spread, largest = float(scale**2 @ square), max(scale * [one.max_weight for one in found]) * n.sum()
    ess = float(scale @ total) ** 2 / spread if spread > 0 else 0.0
    return Estimate(float(value), float(line.stderr), float(line.lo), float(line.hi), ess, float(largest), int(n.sum()))


def _welch(value: float, share: Floats, found: list[Estimate], *, confidence: float) -> Interval:
    """A t interval around a weighted mean of independent estimates."""
    counts = share > 0
    parts = np.square(share[counts] * np.array([one.stderr for one in found])[counts])
    n = np.array([one.n for one in found])[counts]
    variance = parts.sum()
    known = np.isfinite(variance) and variance > 0
    df = float(variance**2 / (parts**2 / (n - 1)).sum()) if known else float(n.sum() - n.size)
    return t_interval(np.asarray(value), np.asarray(variance), df=df, confidence=confidence)


def _refuse_gaps(parts: list[Rows], by: str) -> None:
    """A logger that never goes where the target does has small weights, and so would count most."""
    for number, rows in enumerate(parts):
        gap = float(np.where(rows.behavior == 0, rows.target, 0.0).sum(axis=1).max())
        if gap > ROUNDING:
            raise ValueError(
                f"logger {number} of those with rows cannot take actions that hold up to {gap:.3g} of the target's "
                f"mass, need none for precisions by {by!r}; use balanced(log), which asks it of the mixture only"
            )


def _shares(sums: list[Sums], found: list[Estimate], by: str) -> Floats:
    """(loggers,) weights of the mean, summing to 1."""
    n = np.array([one.n for one in found], dtype=np.float64)
    if by == "rows":
        return np.asarray(n / n.sum())
    if by == "design":
        size = _inverse(np.array([float(one.weights.design) for one in sums]) / n**2)
    else:
        size = _inverse(np.square([one.stderr for one in found]))
    if not np.isfinite(size).all() or not size.sum() > 0:
        raise ValueError(
            f"precisions of the {n.size} loggers by {by!r} are {size.tolist()}, need finite numbers, some > 0: the "
            "target has no mass on what a logger does, or a logger's scores do not vary; use by='rows'"
        )
    return np.asarray(size / size.sum())


def _inverse(variance: Floats) -> Floats:
    return np.divide(1.0, variance, out=np.full_like(variance, np.inf), where=variance > 0)


def _row(log: Log) -> Ints:
    return np.arange(log.reward.size) if log.row is None else log.row


def _rows(log: Log, behavior: Floats) -> Rows:
    shared: dict[str, Any] = {name: getattr(log, name) for name in log._fields if name in Rows._fields}
    return Rows(**(shared | {"behavior": behavior, "row": _row(log)}))


def _check_loggers(log: Log) -> None:
    n, n_loggers = log.reward.size, len(log.behavior)
    if log.behavior.ndim != 3 or log.logger.shape != (n,) or log.logger.dtype.kind not in "iu":
        raise ValueError(
            f"behavior has shape {log.behavior.shape} and logger {log.logger.shape} {log.logger.dtype}, "
            f"need (loggers, c, k) and ({n},) integers"
        )
    if n == 0 or log.logger.min() < 0 or log.logger.max() >= n_loggers:
        raise ValueError(f"logger holds a number outside 0..{n_loggers - 1}, need one of the {n_loggers} of behavior")
