"""IPW-weighted policy learning: the log's rewards, less their running mean, move the logger's shape.

Nothing is modelled: unbiased for any reward, at the price of more variance than `off_policy_dr`.
Source: Horvitz & Thompson (1952); Williams (1992) for the baseline; `policies.log_linear` has the method.
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
    """The log-linear policy over phi, fitted by IPW."""
    return log_linear(spec, "mean")
