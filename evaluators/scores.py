"""The common per-row score array: every estimator is a table, every interval reads scores.

An estimator answers with a `Table` over (context, slot): what it says without a reward, the weight
of a residual, the model whose residual it is. A row's score is a look-up, part + u (r - q), and the
policy's value their mean, or for a self-normalised estimator mean(part) + sum(u e) / sum(u).
Intervals, sequences, adaptive weights and selection read these scores and nothing else.
Source: Dudik, Langford & Li (2011), equation 6; Bhatia & Davis (2000) for the shape v.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from evaluators.rows import Checked, Floats, RewardRange, Rows

SPREAD_FLOOR = 1e-4  # of the squared range: variance left where the model predicts a bound


class Table(NamedTuple):
    """What an estimator says of c contexts and their k slots, before any reward is seen."""

    part: Floats | float  # (c,) reward units
    weight: Floats  # (c, k) u, of a residual
    model: Floats | None = None  # (c, k) q, reward units; None: the residual is the reward
    is_ratio: bool = False  # the weighted residuals are divided by sum u, not by n
    is_difference: bool = False  # of two policies: the middle of the reward's range is not its origin


class RowScores(NamedTuple):
    """Scores of one estimator on one log, or on many at once: (..., n) arrays, reward units.

    Values are about `origin`. `centre`, `spread` and `design` are NaN where the logger's
    distribution, or the reward's range, is unknown.
    """

    part: Floats
    weight: Floats  # u of the logged slot; signed for a difference
    residual: Floats  # r - q of the logged slot
    centre: Floats  # sum_a pi_b u: the weight's expectation; 0 for a ratio
    spread: Floats  # v of the logged slot, squared reward units
    design: Floats  # sum_a pi_b u^2 v
    origin: float = 0.0
    is_ratio: bool = False
    extra: Floats | None = None  # (h, ..., n) columns that an interval made for itself, about the origin

    def score(self) -> Floats:
        """(..., n) part + u e, about the origin."""
        return self.part + self.weight * self.residual

    def folded(self, n_logs: int) -> "RowScores":
        """Scores of n_logs logs of equal length that stand one after another, as (n_logs, n)."""
        arrays: dict[str, Any] = {name: getattr(self, name).reshape(n_logs, -1) for name in ARRAYS}
        extra = None if self.extra is None else self.extra.reshape(len(self.extra), n_logs, -1)
        return self._replace(**arrays, extra=extra)


def join_scores(parts: Sequence[RowScores]) -> RowScores:
    """Scores of several stretches of rows as those of the whole."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts], axis=-1) for name in ARRAYS}
    extra = [p.extra for p in parts if p.extra is not None]
    return parts[0]._replace(**joined, extra=np.concatenate(extra, axis=-1) if extra else None)


ARRAYS = ("part", "weight", "residual", "centre", "spread", "design")


def importance(contrast: Floats, behavior: Floats) -> Floats:
    """How much more often than the logger, per slot: contrast / behavior, 0 without support.

    Args:
        contrast: (c, k) target probabilities, or target minus baseline.
        behavior: (c, k) propensities, 0 where infeasible, NaN where unknown.

    Returns:
        (c, k) weights; negative where a difference is, NaN where the propensity is unknown.

    >>> importance(np.array([[0.5, 0.3, 0.2]]), np.array([[0.25, 0.75, 0.0]]))
    array([[2. , 0.4, 0. ]])
    """
    return _over(contrast, behavior, is_full=bool(behavior.min() > 0))


def _over(contrast: Floats, behavior: Floats, *, is_full: bool) -> Floats:
    if is_full:
        return contrast / behavior
    return np.divide(contrast, behavior, out=np.zeros_like(contrast), where=behavior != 0)


def origin_of(declared: RewardRange | None) -> float:
    """The middle of the declared range, 0 without one: summing about it keeps digits."""
    return 0.0 if declared is None else (declared.lo + declared.hi) / 2


class Basis(NamedTuple):
    """What every estimator shares of some rows: computed once."""

    weight: Floats  # (c, k) target / behavior
    logged: Floats  # (n,) of the logged slots
    mass: Floats  # (c,) target mass on slots the logger could take; NaN where the logger is known in part
    square: Floats  # (c,) sum_a pi_e^2 / pi_b; likewise
    expected: Floats | float  # (c,) of the weight: the mass; where the logger is known in part, all of the target


def basis_of(rows: Rows, checked: Checked | None = None) -> Basis:
    """The weights of the rows' target, and what they were expected to be.

    Args:
        rows: checked rows.
        checked: what `rows.check_tables` found out about them, where it is at hand.
    """
    if rows.is_partial:
        return _partial_basis(rows, checked)
    is_full = bool(rows.behavior.min() > 0) if checked is None else checked.is_full
    weight = _over(rows.target, rows.behavior, is_full=is_full)
    if checked is None or not is_full:
        mass = (rows.target if is_full else np.where(rows.behavior > 0, rows.target, 0.0)).sum(axis=1)
    else:
        mass = checked.mass
    square = np.vecdot(rows.target, weight)
    return Basis(weight, rows.at(weight), mass, square, mass)


def _partial_basis(rows: Rows, checked: Checked | None) -> Basis:
    """Weights where one propensity a row is known; a window of one slot shows the logged action alone."""
    unknown, k = np.full(rows.reward.size, np.nan), rows.target.shape[1]
    expected = 1.0 if k == 1 else rows.target.sum(axis=1) if checked is None else checked.mass
    if rows.behavior.shape[1] > 1 or k == 1:
        weight = _over(rows.target, rows.behavior, is_full=False)
    else:
        weight = rows.target.take(np.arange(rows.slot.size) * k + rows.slot)[:, None] / rows.behavior
    return Basis(weight, rows.at(weight), unknown, unknown, expected)


def row_scores(table: Table, rows: Rows, *, basis: Basis | None = None, has_design: bool = True) -> RowScores:
    """Look every row's score up.

    Args:
        table: what an estimator says of the rows' contexts.
        rows: checked rows.
        basis: `basis_of(rows)` where it is at hand: a table whose weight is the basis's own is cheaper,
            and its expectation known even where the logger is known in part (the target's mass, if supported).
        has_design: False leaves `spread` and `design` NaN, which a plain t interval never reads.

    Returns:
        (n,) arrays.
    """
    looked = look(table, rows, basis, has_design=has_design)
    return assemble(looked, rows.reward, declared=rows.reward_range)


class Looked(NamedTuple):
    """What a table says of rows, before their rewards are read: (n,) columns, or what all rows share."""

    part: Floats | float
    weight: Floats
    model: Floats | None
    centre: Floats | float
    design: Floats | None
    is_ratio: bool
    is_difference: bool
    extra: Floats | None = None  # (h, n) columns that an interval made for itself


def look(table: Table, rows: Rows, basis: Basis | None, *, has_design: bool) -> Looked:
    """Look the rows up in a table; arguments as `row_scores`."""
    plain = basis if basis is not None and table.weight is basis.weight else None
    return Looked(
        part=rows.at(table.part) if isinstance(table.part, np.ndarray) else float(table.part),
        weight=rows.at(table.weight) if plain is None else plain.logged,
        model=None if table.model is None else rows.at(table.model),
        centre=_expected(table, rows, plain),
        design=_design(table, rows, plain) if has_design and not rows.is_partial else None,
        is_ratio=table.is_ratio,
        is_difference=table.is_difference,
    )


def join_looked(parts: Sequence[Looked]) -> Looked:
    """What a table said of several stretches of rows, as of the whole."""
    first = parts[0]
    if len(parts) == 1:
        return first
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in ("part", "weight", "model", "centre", "design", "extra")
        if isinstance(getattr(first, name), np.ndarray)
    }
    return first._replace(**joined)


def assemble(looked: Looked, reward: Floats, *, declared: RewardRange | None) -> RowScores:
    """Scores of rows that were looked up, with their rewards (n,)."""
    n, middle = reward.size, origin_of(declared)
    origin = 0.0 if looked.is_difference else middle
    about = origin if looked.is_ratio and looked.model is None else 0.0
    most = _flat_spread(declared) if looked.design is not None else np.nan
    part = looked.part - (0.0 if about else origin)
    return RowScores(
        part=part if isinstance(part, np.ndarray) else np.full(n, part),
        weight=looked.weight,
        residual=reward - (about if looked.model is None else looked.model),
        centre=looked.centre if isinstance(looked.centre, np.ndarray) else np.full(n, looked.centre),
        spread=np.full(n, most) if looked.model is None else most - np.square(looked.model - middle),
        design=np.full(n, np.nan) if looked.design is None else looked.design,
        origin=origin,
        is_ratio=looked.is_ratio,
        extra=looked.extra,
    )


def _expected(table: Table, rows: Rows, plain: Basis | None) -> Floats | float:
    """Expectation of the logged slot's weight."""
    if table.is_ratio:
        return 0.0
    if rows.is_partial and (plain is None or table.is_difference):
        return 0.0 if table.is_difference else np.nan
    expected = np.vecdot(table.weight, rows.behavior) if plain is None else plain.expected
    return rows.at(expected) if isinstance(expected, np.ndarray) else expected


def _design(table: Table, rows: Rows, plain: Basis | None) -> Floats:
    """Expectation of u^2 v, sum_a pi_b u^2 v; without a model v is flat."""
    if plain is None:
        moment = table.weight * rows.behavior
        moment *= table.weight
        square = moment.sum(axis=1)
    else:
        moment, square = None, plain.square
    most = _flat_spread(rows.reward_range)
    if table.model is None:
        return rows.at(square) * most
    # v = most - (q - origin)^2, summed without a table of v
    off = table.model - origin_of(rows.reward_range)
    moment = table.weight * rows.target if moment is None else moment
    moment *= off
    return rows.at(most * square - np.vecdot(moment, off))


def _flat_spread(declared: RewardRange | None) -> float:
    """Largest v of any prediction: in the middle of the range."""
    return np.nan if declared is None else (0.25 + SPREAD_FLOOR) * (declared.hi - declared.lo) ** 2


def spread(predicted: Floats, declared: RewardRange | None) -> Floats:
    """Largest variance a reward in [a, b] with the predicted mean q can have, plus a floor.

    Args:
        predicted: (c, k) reward model, within the range.
        declared: the reward's range; None gives NaN: then only a plain interval can be had.

    Returns:
        (c, k) (q - a)(b - q) + 1e-4 (b - a)^2, squared reward units.
    """
    return np.asarray(_flat_spread(declared) - np.square(predicted - origin_of(declared)))
