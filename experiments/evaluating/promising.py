"""Whether an estimate's interval kept its promise where truth was known, and what it leaves out.

The certification judged estimators with their default numbers on independent rows whose logger is wholly known.
An interval that was never judged promises nothing, and that is said.
"""

import numpy as np

from evaluators import certified
from evaluators.certified import Held
from evaluators.estimators import direct
from experiments.evaluating.choosing import DIFFERENCE, LOGGER, interval_word
from experiments.evaluating.scoring import Asked, Tally

__all__ = ["LINEARISED", "ignores", "interval_of", "promise"]

LINEARISED = "linearised t"
JUDGED = DIFFERENCE + "doubly_robust"  # the one difference that the certification judges


def interval_of(name: str, asked: Asked) -> str:
    """The interval beside an estimate, by its name."""
    params = asked.estimators.get(name)
    return LINEARISED if params is None else interval_word(params.interval)


def ignores(name: str, asked: Asked) -> str:
    """What the interval beside an estimate leaves out; empty where that is nothing."""
    is_model = isinstance(asked.estimators.get(name.removeprefix(DIFFERENCE)), direct.Params)
    return "the interval ignores the model's error" if is_model else ""


def promise(name: str, found: Tally, asked: Asked) -> Held:
    """Whether estimator and interval held on independent logs of this size.

    Args:
        name: of an estimate: an estimator, `logger`, or `difference ESTIMATOR`.
        found: sums of the whole log.
        asked: what was asked of it.
    """
    is_difference = name.startswith(DIFFERENCE)
    if name == LOGGER or (is_difference and name != JUDGED):
        return Held(False, "never judged against known truth")
    sums = found.sums[name]
    if sums.clusters is not None:
        return Held(False, "logs of clusters were never judged against known truth")
    if not np.isfinite(sums.weights.design):
        return Held(False, "logs without the logger's whole distribution were never judged against known truth")
    estimator = certified.DIFFERENCE if is_difference else name
    return certified.held(estimator, interval_of(name, asked), regime="iid", n=sums.n)
