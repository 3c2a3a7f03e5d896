"""Direct method: the reward model's own opinion of a target, averaged over the logged contexts.

The interval is a t interval on the per-row model values: it knows how much contexts differ and
IGNORES THE MODEL'S ERROR, so it can be far too narrow around a biased value. It is here to be
compared with, never to decide.
Source: Dudik, Langford & Li (2011), section 3.
"""

from dataclasses import dataclass, field

import numpy as np

from evaluators.intervals import t
from evaluators.reward_model import modelled
from evaluators.rows import Floats, Rows
from evaluators.scores import Table

__all__ = ["Params", "table"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})
    interval: object = field(default_factory=t.Params)


def table(_: Params, rows: Rows, weight: Floats) -> Table:
    """Scores sum_a target q.

    Args:
        rows: one target on one log, with `predicted`.
        weight: (c, k) target / behavior; not read.

    Raises:
        ValueError: the rows carry no reward model.
    """
    model = modelled(rows, "direct")
    return Table(part=np.vecdot(rows.target, model), weight=np.zeros_like(weight), model=model)
