"""Half of the variance seen, half of the variance possible: the gate's interval for small logs.

No control variate: the centre is the mean score, with n - 1 degrees of freedom. A one-sided 95 %
lower bound of a difference to the logger that is truly 0 approves 2.6, 4.0 and 5.0 % of logs of 200,
2,000 and 5,000 rows, mean of seven problems; 3.1, 4.8 and 5.7 % on the worst.
Source: `adjusting.model_variance`; the combination is ours, measured by `experiment=ope_validation`.
"""

from dataclasses import dataclass

from evaluators.adjusting import clustered, mean, model_variance, score_variance
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
    """Mean score +- t sqrt((s^2 / n + model variance) / 2).

    Args:
        sums: of scores with a declared range and the logger's whole distribution.
        confidence: two-sided.

    Raises:
        ValueError: as `adjusting.refuse_unknown`, or confidence outside (0, 1).
    """
    variance = (score_variance(sums) / sums.n + model_variance(sums)) / 2
    variance, df = clustered(sums, variance, df=sums.n - 1)
    return t_interval(mean(sums), variance, df=df, confidence=confidence)
