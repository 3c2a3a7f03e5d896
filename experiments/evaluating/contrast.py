"""The logger's own value, and an estimate's difference to it, row by row.

A difference of two estimates on one log is the mean of per-row differences: its error is far smaller than that
of two values taken apart. Where the estimator is a mean of scores the difference is one too, and keeps the
estimator's interval; for a ratio the difference is linearised (t).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envs.targets import function_of
from evaluators.adjusting import cluster_variance
from evaluators.estimation import finish
from evaluators.intervals import t
from evaluators.quantiles import t_interval
from evaluators.rows import Estimate, Floats, Rows
from evaluators.scores import RowScores, Table, basis_of, row_scores
from evaluators.sums import CENTRE, PART, TERM, Sums, U, summed, weights_of

__all__ = ["Difference", "Own", "finished", "ratio_difference", "ratio_sums", "table"]


@dataclass(frozen=True, slots=True)
class Own:
    """The logger's own value: the mean reward, every weight 1."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=t.Params)


@dataclass(frozen=True, slots=True)
class Difference:
    """An estimator's value less the logger's; not for ratios."""

    base: Any
    confidence: float
    interval: object


def table(params: Own | Difference, rows: Rows, weight: Floats) -> Table:
    """Scores of the logger, or of an estimator less the logger.

    With the whole distribution the model speaks for the logger at every slot; else at the logged one only.

    Args:
        params: whose.
        rows: one target on one log, without `row`.
        weight: (n, k) target / behavior.
    """
    if isinstance(params, Own):
        return Table(part=0.0, weight=np.ones_like(weight))
    found = function_of(params.base, "table")(params.base, rows, weight)
    part = found.part
    if found.model is not None:
        part = part - (rows.at(found.model) if rows.is_partial else np.vecdot(rows.behavior, found.model))
    return Table(part=part, weight=found.weight - (rows.behavior != 0), model=found.model, is_difference=True)


def finished(params: Any, sums: Sums) -> Estimate:
    """Value and interval; a difference is unknown where the target has no mass on any logged action.

    The logger's own weights remain in such a difference, and would make it look sure.

    Args:
        params: an estimator, `Own` or a `Difference`.
        sums: merged.

    Raises:
        ValueError: as `estimation.finish`.
    """
    said = finish(params, sums)
    if isinstance(params, Difference) and not sums.weights.total > 0:
        return said._replace(stderr=np.inf, lo=-np.inf, hi=np.inf)
    return said


def ratio_sums(params: Any, rows: Rows) -> Sums:
    """Sums of a self-normalised estimator with the reward in the place of the expected weight.

    Args:
        params: the estimator.
        rows: checked rows.
    """
    basis = basis_of(rows)
    found = row_scores(function_of(params, "table")(params, rows, basis.weight), rows, basis=basis, has_design=False)
    own: RowScores = found._replace(centre=rows.reward - found.origin)
    return summed(own, weights_of(rows), rows=rows)


def ratio_difference(sums: Sums, *, confidence: float) -> Estimate:
    """mean(part) + sum(u e) / sum(u) - mean(r), with a t interval on its linearised terms.

    Args:
        sums: merged `ratio_sums`.
        confidence: two-sided.
    """
    n, gram, weights = sums.n, sums.gram, sums.weights
    total = float(gram[0, U])
    ess, largest = float(weights.ess()), float(weights.largest)
    if not total > 0:
        return Estimate(np.nan, np.inf, -np.inf, np.inf, ess, largest, n)
    rest, scale = float(gram[0, TERM]) / total, n / total
    mean_part, mean_reward = gram[0, PART] / n, gram[0, CENTRE] / n
    # d_i = part_i - mean(part) + (u_i e_i - rest u_i) scale - (r_i - mean(r)): a quadratic form of the Gram matrix
    form = np.array([mean_reward - mean_part, 1.0, -1.0, scale, -rest * scale])
    variance, df = max(float(form @ gram @ form), 0.0) / (n * max(n - 1, 1)) if n > 1 else np.inf, n - 1
    if sums.clusters is not None:
        gap = sums.clusters.table @ form
        variance = max(variance, float(cluster_variance(sums.clusters.table[:, 0], gap)))
        df = min(df, len(gap) - 1)
    value = float(mean_part + rest - mean_reward)
    found = t_interval(np.asarray(value), np.asarray(variance), df=df, confidence=confidence)
    return Estimate(value, float(np.sqrt(variance)), float(found.lo), float(found.hi), ess, largest, n)
