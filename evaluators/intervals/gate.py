"""The gate's interval: half of the variance seen while a log is small, all of the model's when it is large.

Both are for one-sided lower bounds of a difference. `half_model` has more power on small logs,
and its error grows with their size, because the sample's variance keeps missing the rarest weights;
`model` holds at every size and is too careful on small ones. The switch-over was measured
(`experiment=ope_validation`, docs/ope.md).
"""

from dataclasses import dataclass, field

from evaluators.intervals import half_model, model
from evaluators.quantiles import Interval
from evaluators.sums import Sums

__all__ = ["Params", "bounds", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """Where a log begins to be large."""

    large: int = field(default=1000, metadata={"ge": 2, "le": 10**9, "unit": "rows"})


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
