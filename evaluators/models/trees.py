"""Tree ensembles of scikit-learn as reward models: for rewards that no sum of features describes.

Needs the extra `models` (pip install 'guardband[models]'). The design is read as plain features, so give
it the raw contexts and knobs; nothing is centred or scaled. Slower than ridge by orders of magnitude.
Source: Breiman (2001) for forests; Friedman (2001) for boosting.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluators.reward_model import Sample
from evaluators.rows import Floats

__all__ = ["Params", "tables"]


@dataclass(frozen=True, slots=True)
class Params:
    """Which ensemble, and its size."""

    kind: str = field(default="boosting", metadata={"choices": ("boosting", "forest")})
    n_trees: int = field(default=100, metadata={"ge": 1, "le": 10_000, "unit": "trees"})
    min_leaf: int = field(default=20, metadata={"ge": 1, "le": 10**6, "unit": "rows in a leaf"})
    rate: float = field(default=0.1, metadata={"gt": 0.0, "le": 1.0, "unit": "share of each boosted tree"})
    seed: int = field(default=0, metadata={"ge": 0, "le": 2**32 - 1, "unit": "of the forest's draws"})
    n_folds: int = field(default=5, metadata={"ge": 2, "le": 1000, "unit": "folds"})


def tables(params: Params, design: Floats, sample: Sample) -> Floats:
    """Predictions of every fold; arguments and result as `reward_model.fit_tables`.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    m, k, p = design.shape
    flat, features = design.reshape(m * k, p), design[sample.row, sample.slot]
    found = np.empty((sample.n_folds, m, k))
    for held_out in range(sample.n_folds):
        train = sample.fold != held_out
        weight = None if sample.weight is None else sample.weight[train]
        fitted = _regressor(params).fit(features[train], sample.reward[train], sample_weight=weight)
        found[held_out] = fitted.predict(flat).reshape(m, k)
    return found


def _regressor(params: Params) -> Any:
    try:
        from sklearn import ensemble  # optional: the extra `models`
    except ImportError as error:
        need = "scikit-learn, which is missing: pip install 'guardband[models]', or use reward_model=ridge"
        raise ImportError(f"reward model {params.kind} needs {need}") from error
    if params.kind == "forest":
        return ensemble.RandomForestRegressor(
            n_estimators=params.n_trees, min_samples_leaf=params.min_leaf, random_state=params.seed, n_jobs=1
        )
    return ensemble.HistGradientBoostingRegressor(
        max_iter=params.n_trees,
        min_samples_leaf=params.min_leaf,
        learning_rate=params.rate,
        early_stopping=False,
        random_state=params.seed,
    )
