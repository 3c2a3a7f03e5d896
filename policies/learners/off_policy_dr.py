"""DR-weighted policy learning: a running regression predicts, the log corrects it where it was wrong.

Unbiased whatever the regression says, since a row is predicted by earlier rows only; the better it is, the less varies.
Source: Dudik, Langford & Li (2011), section 4; `policies.log_linear` has the method.
"""

from dataclasses import dataclass
from functools import cache

from policies.base import Policy, Spec
from policies.log_linear import LogLinearParams, log_linear

__all__ = ["Params", "make"]


@dataclass(frozen=True)
class Params(LogLinearParams):
    """The numbers of the log-linear policy that the rows are fitted to."""


@cache
def make(spec: Spec) -> Policy:
    """The log-linear policy over phi, fitted by DR."""
    return log_linear(spec, "linear")
