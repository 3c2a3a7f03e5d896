"""Cross-fitted reward models: predictions of every slot by a model that did not see the row.

Cross-fitting keeps doubly robust scores unbiased. Contexts repeat, so features come as a table of
the m distinct (context, window) pairs and an index, and predictions go as one table per fold: nothing
of size (n, k, p) is ever built. Here is ridge regression, the default, centred on the mean reward of
the training folds (give the design a column of ones all the same); other models are the plug-ins of
`models/`, each with `Params` and `tables`, chosen by the config group `reward_model`.
Source: Chernozhukov et al. (2018), section 3, for cross-fitting.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.targets import function_of
from evaluators.rows import Floats, Ints, RewardRange, Rows

__all__ = [
    "Model",
    "Params",
    "Sample",
    "check_sample",
    "clip",
    "cross_fit",
    "fit_tables",
    "make_folds",
    "modelled",
    "tables",
    "with_model",
]


class Model(Protocol):
    """A plug-in: Params of this file or of one in `models/`."""

    @property
    def n_folds(self) -> int:
        """Folds to deal the rows into."""


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the ridge regression."""

    ridge: float = field(default=1.0, metadata={"gt": 0.0, "le": 1e9, "unit": "rows at unit features"})
    n_folds: int = field(default=5, metadata={"ge": 2, "le": 1000, "unit": "folds"})


class Sample(NamedTuple):
    """What a reward model learns from: n rows that met m distinct (context, window) pairs."""

    row: Ints  # (n,) which of the m pairs each row met
    slot: Ints  # (n,) logged slot
    reward: Floats  # (n,) reward units
    fold: Ints  # (n,) from `make_folds`; each fold is predicted by the others
    weight: Floats | None = None  # (n,) how much each row counts, >= 0; None: 1
    behavior: Floats | None = None  # (m, k) the logger, for models that are fitted to one estimate
    target: Floats | None = None  # (m, k) and the policy that is judged
    reward_range: RewardRange | None = None

    @property
    def n_folds(self) -> int:
        """Folds that were dealt."""
        return int(self.fold.max()) + 1


def make_folds(rng: np.random.Generator, n: int, *, n_folds: int, cluster: Ints | None = None) -> Ints:
    """Deal rows into folds of near-equal size; rows of one cluster share a fold.

    Args:
        rng: where the deal comes from.
        n: rows.
        n_folds: folds, at least 2.
        cluster: (n,) labels; None deals rows one by one.

    Returns:
        (n,) fold of each row, in [0, n_folds).

    Raises:
        ValueError: fewer rows or clusters than folds, or `cluster` of another length.
    """
    if cluster is not None and cluster.shape != (n,):
        raise ValueError(f"cluster has shape {cluster.shape}, need ({n},)")
    label, index = np.unique(np.arange(n) if cluster is None else cluster, return_inverse=True)
    if not 2 <= n_folds <= label.size:
        what = "rows" if cluster is None else "clusters"
        raise ValueError(f"n_folds = {n_folds}, need 2 <= n_folds <= {label.size} {what}")
    dealt = rng.permutation(label.size) % n_folds
    return np.asarray(dealt[index], dtype=np.int64)


def fit_tables(params: Model, design: Floats, sample: Sample) -> Floats:
    """Predictions by any model, inside the declared range.

    Args:
        params: which model.
        design: (m, k, p) features of each slot of each distinct (context, window).
        sample: the rows, dealt into folds.

    Returns:
        (folds, m, k) reward units; a fold's table comes from the other folds. `with_model` puts it
        beside rows.

    Raises:
        ValueError: as `check_sample`, or the model lacks what it needs of the sample.
        ImportError: the model's library is missing; the message names the extra.
    """
    check_sample(design, sample)
    found: Floats = function_of(params, "tables")(params, design, sample)
    return clip(found, sample.reward_range)


def with_model(rows: Rows, predicted: Floats, fold: Ints) -> Rows:
    """Rows beside cross-fitted predictions: every decision reads the table of its own fold.

    Args:
        rows: of one log; shared tables (`rows.row`) are repeated per fold, which costs folds x contexts
            and no more, however many rows there are.
        predicted: (folds, c, k) from `fit_tables`, for the rows' own c contexts.
        fold: (n,) as in the sample.

    Raises:
        ValueError: shapes that disagree.
    """
    n_folds, c, k = predicted.shape
    if (c, k) != rows.behavior.shape or fold.shape != rows.slot.shape or fold.max() >= n_folds:
        raise ValueError(
            f"predicted has shape {predicted.shape} and fold {fold.shape} up to {fold.max()}, need (folds, c, k) and "
            f"(n,) for behavior {rows.behavior.shape} and {rows.slot.size} rows"
        )
    if rows.row is None:
        return rows._replace(predicted=predicted[fold, np.arange(c)])
    tiled: dict[str, Any] = {
        name: None if getattr(rows, name) is None else np.tile(getattr(rows, name), (n_folds, 1))
        for name in ("behavior", "target", "action_ids")
    }
    return rows._replace(predicted=predicted.reshape(n_folds * c, k), row=fold * c + rows.row, **tiled)


def tables(params: Params, design: Floats, sample: Sample) -> Floats:
    """Ridge regression, rows weighted; arguments and result as `fit_tables`, unbounded."""
    coefficient, mean = ridge_fits(design[sample.row, sample.slot], sample, ridge=params.ridge)
    return np.ascontiguousarray(np.moveaxis(design @ coefficient.T + mean, 2, 0))


def ridge_fits(features: Floats, sample: Sample, *, ridge: float) -> tuple[Floats, Floats]:
    """Coefficients (folds, p) and centres (folds,) of the regressions that predict each fold.

    Args:
        features: (n, p) of the logged slots.
        sample: the rows.
        ridge: added to the diagonal of the Gram matrix, > 0.
    """
    n, p = features.shape
    weight = np.ones(n) if sample.weight is None else sample.weight
    columns = np.column_stack([features, np.ones(n), sample.reward])
    parts = np.stack([_gram(columns[mine], weight[mine]) for mine in sample.fold == np.arange(sample.n_folds)[:, None]])
    sums = others(parts)
    mean = sums[:, p, p + 1] / sums[:, p, p]
    moment = sums[:, :p, p + 1] - mean[:, None] * sums[:, :p, p]
    found = np.linalg.solve(sums[:, :p, :p] + ridge * np.eye(p), moment[..., None])[..., 0]
    return np.asarray(found, np.float64), mean


def _gram(columns: Floats, weight: Floats) -> Floats:
    return np.asarray((columns * weight[:, None]).T @ columns)


def others(parts: Floats) -> Floats:
    """(folds, ...) sums over the other folds, without a trace of a fold's own."""
    return np.stack([np.delete(parts, held_out, axis=0).sum(axis=0) for held_out in range(len(parts))])


def cross_fit(design: Floats, *, row: Ints, slot: Ints, reward: Floats, fold: Ints, ridge: float) -> Floats:
    """Predict every slot of every row by ridge regression on the other folds.

    Args:
        design: (m, k, p) features of each slot of each distinct (context, window).
        row: (n,) which of the m pairs each row met.
        slot: (n,) logged slot.
        reward: (n,) reward units.
        fold: (n,) from `make_folds`; each fold is predicted by the others.
        ridge: added to the diagonal of the Gram matrix, > 0.

    Returns:
        (n, k) predictions in reward units, unbounded: see `clip`; `tables` is the same without n.

    Raises:
        ValueError: as `check_sample`, or ridge not positive.
    """
    sample = Sample(row, slot, reward, fold)
    check_sample(design, sample)
    if not ridge > 0:
        raise ValueError(f"ridge = {ridge:.6g}, need > 0 (0 has no unique solution on small logs)")
    return np.ascontiguousarray(tables(Params(ridge=ridge), design, sample)[fold, row])


def clip(predicted: Floats, reward_range: RewardRange | None) -> Floats:
    """Predictions moved into the declared range; unchanged where none is declared.

    >>> clip(np.array([-0.2, 0.4]), RewardRange(0.0, 1.0))
    array([0. , 0.4])
    """
    return predicted if reward_range is None else np.clip(predicted, *reward_range)


def modelled(rows: Rows, name: str) -> Floats:
    """(c, k) the rows' reward model.

    Raises:
        ValueError: they carry none; `name` says who asked.
    """
    if rows.predicted is None:
        raise ValueError(f"estimator {name} needs rows.predicted (c, k), got none: see reward_model.cross_fit")
    return rows.predicted


def check_sample(design: Floats, sample: Sample) -> None:
    """Refuse a sample that cannot be fitted.

    Raises:
        ValueError: lengths that disagree, an index outside the design, a number that is not finite, a
            weight below 0, policies of another shape, or a fold that holds every row or all weight.
    """
    n = sample.row.size
    for name in ("slot", "reward", "fold", "weight"):
        given = getattr(sample, name)
        if given is not None and (given.shape != (n,) or n == 0):
            raise ValueError(f"{name} has shape {given.shape}, need ({n},) like row, and not empty")
    for name, limit in (("row", design.shape[0]), ("slot", design.shape[1])):
        index = getattr(sample, name)
        bad = index[(index < 0) | (index >= limit)]
        if bad.size:
            raise ValueError(f"{name} = {bad[0]} somewhere, need 0 <= {name} < {limit}, as design")
    if not (np.isfinite(sample.reward).all() and np.isfinite(design).all()):
        raise ValueError("reward or design holds NaN or infinity; need finite numbers")
    for name in ("behavior", "target"):
        table = getattr(sample, name)
        if table is not None and table.shape != design.shape[:2]:
            raise ValueError(f"{name} has shape {table.shape}, need {design.shape[:2]} as design")
    _check_folds(sample)


def _check_folds(sample: Sample) -> None:
    sizes = np.bincount(sample.fold)
    if sizes.max() == sample.fold.size:
        raise ValueError(f"fold {sizes.argmax()} holds all {sample.fold.size} rows; nothing left to fit")
    if sample.weight is not None:
        weights = np.asarray(np.bincount(sample.fold, weights=sample.weight), np.float64)
        if not (sample.weight >= 0).all() or not (others(weights) > 0).all() or not np.isfinite(weights).all():
            raise ValueError("weight needs finite numbers >= 0, some of them > 0 outside every fold")
