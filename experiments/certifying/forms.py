"""Scores of many logs whose contexts are few: an estimator as what it does with any reward model.

Cross-fitting gives every log five models of its own, so tables over (log, fold, context, slot) are large,
and most of what an estimator computes on them does not depend on the model. A `Form` is that part: found
once per world by asking the estimator's own `table`, with one slot's prediction at a time, and refused
where the answer is not linear in the model. Scores then take two products of matrices for all estimators.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from envs.targets import function_of
from evaluators.estimation import Estimator
from evaluators.reward_model import Params as ModelParams
from evaluators.reward_model import clip
from evaluators.rows import Floats, Ints, Rows
from evaluators.scores import RowScores, Table, importance, origin_of, spread
from evaluators.sums import Sums, Weights, summed
from experiments.certifying.world_logs import Logs

__all__ = ["Fitted", "Form", "difference_form", "fit_logs", "form_of", "sums_of_forms"]

PROBED = 2**21  # entries of the tables an estimator is asked about at once


class Form(NamedTuple):
    """What an estimator says of c contexts: its part is constant + sum_a slope q."""

    constant: Floats  # (c,)
    slope: Floats  # (c, k)
    weight: Floats  # (c, k) u
    has_model: bool  # the residual is r - q, else r
    is_ratio: bool
    is_difference: bool = False


class Fitted(NamedTuple):
    """Cross-fitted models of L logs, and where each row finds its own."""

    table: Floats  # (L folds, c, k) predictions, inside the declared range
    place: Ints  # (L, n) row of the table's first axis


def form_of(params: Estimator, rows: Rows) -> Form:
    """Ask an estimator about c contexts.

    Args:
        params: which estimator.
        rows: c rows, one per context; reward, slot and predicted are not read.

    Raises:
        ValueError: the estimator refuses the rows, or its table is not linear in the reward model.
    """
    c, k = rows.behavior.shape
    none, some = _asked(params, rows, np.zeros((c, k))), np.random.default_rng(0).random((c, k))
    part, slope = np.broadcast_to(np.asarray(none.part, np.float64), (c,)), np.zeros((c, k))
    if none.model is not None or np.ndim(none.part):
        size = max(PROBED // k**2, 1)
        for begin in range(0, c, size):
            slope[begin : begin + size] = _slope(params, _of(rows, np.arange(begin, min(begin + size, c))))
        slope -= part[:, None]
    told = _asked(params, rows, some)
    is_linear = np.allclose(told.part, part + np.vecdot(slope, some), rtol=0, atol=1e-9)
    if not is_linear or not np.array_equal(told.weight, none.weight):
        raise ValueError("its table is not linear in the reward model; measured on given models only")
    return Form(part, slope, none.weight, none.model is not None, none.is_ratio)


def _asked(params: Estimator, rows: Rows, predicted: Floats) -> Table:
    asked = rows._replace(predicted=predicted)
    found: Table = function_of(params, "table")(params, asked, importance(rows.target, rows.behavior))
    return found


def _of(rows: Rows, which: Ints) -> Rows:
    """Some of the contexts."""
    named: dict[str, Any] = {
        name: getattr(rows, name) for name in ("reward", "slot", "behavior", "target", "action_ids")
    }
    kept: dict[str, Any] = {name: None if column is None else column[which] for name, column in named.items()}
    return rows._replace(**kept)


def _slope(params: Estimator, rows: Rows) -> Floats:
    """(c, k) part where one slot is predicted to earn 1 and the others nothing."""
    c, k = rows.behavior.shape
    each = _of(rows, np.repeat(np.arange(c), k))
    return np.asarray(_asked(params, each, np.tile(np.eye(k), (c, 1))).part, np.float64).reshape(c, k)


def difference_form(rows: Rows, baseline: Floats) -> Form:
    """What the gate sums: doubly robust, target minus baseline.

    Args:
        rows: c rows, one per context.
        baseline: (c, k) probabilities.
    """
    contrast = rows.target - baseline
    return Form(np.zeros(len(contrast)), contrast, importance(contrast, rows.behavior), True, False, True)


def fit_logs(design: Floats, logs: Logs, rows: Rows, *, model: ModelParams) -> Fitted:
    """Ridge regression of many logs at once, each fold predicted by the others; rows are dealt to folds in turn.

    Args:
        design: (c, k, p) features of every slot of every context.
        logs: L logs of n rows; the folds divide n.
        rows: its declared range is read.
        model: folds and ridge.
    """
    (c, k, p), (n_logs, n), n_folds = design.shape, logs.row.shape, model.n_folds
    dealt = (n_logs, n // n_folds, n_folds)
    features = design[logs.row, logs.slot].reshape(*dealt, p).swapaxes(1, 2)  # (L, folds, n / folds, p)
    earned = logs.reward.reshape(dealt).swapaxes(1, 2)
    own = (
        features.swapaxes(2, 3) @ features,
        np.einsum("lfip,lfi->lfp", features, earned),
        features.sum(axis=2),
        earned.sum(axis=2),
    )
    gram, moment, sums, total = (part.sum(axis=1, keepdims=True) - part for part in own)
    mean = total / (n - n // n_folds)
    wanted = moment - mean[..., None] * sums
    coefficient = np.linalg.solve(gram + model.ridge * np.eye(p), wanted[..., None])[..., 0]
    table = coefficient.reshape(-1, p) @ design.reshape(c * k, p).T
    table += mean.reshape(-1, 1)
    place = np.arange(n_logs)[:, None] * n_folds + np.arange(n) % n_folds
    return Fitted(clip(table.reshape(-1, c, k), rows.reward_range), place)


def sums_of_forms(
    forms: Mapping[str, Form], rows: Rows, *, logs: Logs, fitted: Fitted, weights: Weights
) -> dict[str, Sums]:
    """Sums of every estimator on every log, as `estimation.summarise_logs` has them.

    Args:
        forms: by name.
        rows: c rows, one per context.
        logs: L logs of n rows.
        fitted: their models.
        weights: of the target on these logs.
    """
    middle, (where, place) = origin_of(rows.reward_range), (logs.row, fitted.place)
    flat = float(spread(np.array([middle]), rows.reward_range)[0])
    squares = [rows.behavior * form.weight**2 for form in forms.values()]
    shape = spread(fitted.table, rows.reward_range)
    told = _products(fitted.table, [form.slope for form in forms.values()])
    possible = _products(shape, squares)
    left, seen = logs.reward - fitted.table[place, where, logs.slot], shape[place, where, logs.slot]
    found = {}
    for i, (name, form) in enumerate(forms.items()):
        origin = 0.0 if form.is_difference else middle
        about = origin if form.is_ratio and not form.has_model else 0.0
        scores = RowScores(
            part=told[i][where, place] + form.constant[where] - (0.0 if about else origin),
            weight=form.weight[where, logs.slot],
            residual=left if form.has_model else logs.reward - about,
            centre=np.zeros(where.shape) if form.is_ratio else np.vecdot(form.weight, rows.behavior)[where],
            spread=seen if form.has_model else np.full(where.shape, flat),
            design=possible[i][where, place] if form.has_model else flat * squares[i].sum(axis=1)[where],
            origin=origin,
            is_ratio=form.is_ratio,
        )
        found[name] = summed(scores, weights, rows=rows)
    return found


def _products(table: Floats, by: list[Floats]) -> Floats:
    """(e, c, L folds) sums over slots of a (L folds, c, k) table times each of e tables (c, k)."""
    return np.ascontiguousarray((table.swapaxes(0, 1) @ np.stack(by, axis=-1)).transpose(2, 0, 1))
