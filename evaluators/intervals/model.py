"""The variance that the logger's distribution and the model expect: the gate's interval for large logs.

Centre: the control-variate estimate; t with n - 2 degrees of freedom. A one-sided 95 % lower bound of
a difference to the logger that is truly 0 approves 1.2, 2.4 and 3.2 % of logs of 200 (too careful:
less power), 2,000 and 5,000 rows, mean of seven problems; of a value it errs 3 to 4 %.
Source: `adjusting.model_variance`; the combination is ours, measured by `experiment=ope_validation`.
"""

from dataclasses import dataclass

from evaluators.adjusting import adjust, clustered, model_variance
from evaluators.quantiles import Interval, t_interval
from evaluators.sums import Sums

__all__ = ["Params", "bounds", "needs"]


@dataclass(frozen=True, slots=True)
class Params:
    """No numbers of its own."""


def needs(_: Params) -> frozenset[str]:
    """What it reads beyond sums of scores."""
    return frozenset({"design"})


def bounds(_: Params, sums: Sums, confidence: float) -> Interval:
    """Control-variate mean +- t sqrt(model variance).

    Args:
        sums: of scores with a declared range and the logger's whole distribution.
        confidence: two-sided.

    Raises:
        ValueError: as `adjusting.refuse_unknown`, or confidence outside (0, 1).
    """
    found = adjust(sums)
    variance, df = clustered(sums, model_variance(sums, found.slope), df=sums.n - 2, slope=found.slope)
    return t_interval(found.value, variance, df=df, confidence=confidence)
