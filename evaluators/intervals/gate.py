"""The gate's interval: half of the variance seen while a log is small, all of the model's when it is large.

Both are for one-sided lower bounds of a difference. `half_model` has more power on small logs, and
its error grows with their size, because the sample's variance keeps missing the rarest weights: at a
true difference of 0 it approves at most 4.8 % of logs of 2,000 rows and 5.7 % of 5,000 on the worst of
seven problems. `model` holds at every size, is too careful on small logs and the more powerful at 5,000.
"""

from dataclasses import dataclass, field

from evaluators.intervals import half_model, model
from evaluators.quantiles import Interval
from evaluators.sums import Sums

__all__ = ["Params", "bounds", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """Where a log begins to be large."""

    large: int = field(default=3000, metadata={"ge": 2, "le": 10**9, "unit": "rows"})


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset({"design"})


def bounds(params: Params, sums: Sums, confidence: float) -> Interval:
    """As `half_model` below `large` rows, as `model` from there on.

    Args:
        params: where a log begins to be large.
        sums: of scores with a declared range and the logger's whole distribution.
        confidence: two-sided.

    Raises:
        ValueError: as `adjusting.refuse_unknown`, or confidence outside (0, 1).
    """
    if sums.n < params.large:
        return half_model.bounds(half_model.Params(), sums, confidence)
    return model.bounds(model.Params(), sums, confidence)
