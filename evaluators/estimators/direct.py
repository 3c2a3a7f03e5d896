"""Direct method: the reward model's own opinion of a target, averaged over the logged contexts.

The interval is a t interval on the per-row model values: it knows how much contexts differ and
IGNORES THE MODEL'S ERROR, so it can be far too narrow around a biased value. It is here to be
compared with, never to decide.
Source: Dudik, Langford & Li (2011), section 3.
"""

from dataclasses import dataclass, field

from evaluators.finishing import column, finished
from evaluators.rows import Estimate, Rows
from evaluators.sums import DIRECT, Sums
from evaluators.sums import sums as sums_of

__all__ = ["Params", "estimate", "finish"]


@dataclass(frozen=True, slots=True)
class Params:
    """Numbers of the estimator."""

    confidence: float = field(default=0.95, metadata={"gt": 0.0, "lt": 1.0, "unit": "share"})


def estimate(params: Params, rows: Rows) -> Estimate:
    """Mean over rows of sum_a target q.

    Args:
        params: confidence of the interval.
        rows: one target on one log, n rows, with `predicted`.

    Raises:
        ValueError: as `rows.check`, or the rows carry no reward model.
        TypeError: as `rows.check`.
    """
    return finish(params, sums_of(rows))


def finish(params: Params, sums: Sums) -> Estimate:
    """The same from (merged) sums.

    Raises:
        ValueError: the sums carry no reward model, or confidence outside (0, 1).
    """
    if sums.direct is None:
        raise ValueError("the direct method needs rows.predicted (n, k): see reward_model")
    return finished(
        sums,
        sums.origin + sums.direct.mean(),
        variance=sums.direct.variance() / sums.direct.n,
        confidence=params.confidence,
        cluster_total=column(sums.clusters, DIRECT),
    )
