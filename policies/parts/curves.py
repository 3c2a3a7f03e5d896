"""How long answers may be, before any data: a grid of hypotheses, and what each means under every cap.

A hypothesis is a log-normal (median, spread) and the temperature from which answers run
away (grow by `RUNAWAY` in log tokens). Under a cap everything is a normal CDF, so tables
hold the probability of being cut off and the mean tokens sent; learning is exact Bayes
over the grid, with censored answers where the cap cut them.
Source: runaway growth past the cliff, research/convergence-surfaces.md section 2.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.arrays import normal_cdf

__all__ = ["ONSETS", "RUNAWAY", "LengthTables", "length_tables"]

Floats = NDArray[np.float64]
LOG_MEDIANS = 2.3 + 0.14 * np.arange(46)  # 10 to 5,400 tokens
SPREADS = np.array([0.3, 0.5, 0.7, 0.9, 1.2])
ONSETS = (1.25, 1.45, 1.65, 9.0)  # temperature; the last: never
RUNAWAY = 0.7  # log tokens
CENTRE, WIDTH = 5.7, 1.2  # of the prior over log medians
LEAST = 1e-12  # probability below which a tail is not told from none


class LengthTables(NamedTuple):
    """H curves (log median, spread); tables (2, H, M): calm and running away, by cap.

    Attributes:
        log_median: (H,).
        spread: (H,).
        prior: (H, O) log prior weight of each curve and onset, summing to 1 as weights.
        over: probability that an answer is longer than the cap.
        log_over: its logarithm.
        sent: mean tokens sent.
    """

    log_median: Floats
    spread: Floats
    prior: Floats
    over: Floats
    log_over: Floats
    sent: Floats


@lru_cache(maxsize=64)
def length_tables(caps: tuple[float, ...]) -> LengthTables:
    """The tables of the caps (M,) of a lattice, in tokens."""
    median, spread = (x.ravel() for x in np.meshgrid(LOG_MEDIANS, SPREADS, indexing="ij"))
    weight = -0.5 * ((median - CENTRE) / WIDTH) ** 2
    prior = weight - math.log(float(np.exp(weight).sum()) * len(ONSETS))
    centre = median + np.array([0.0, RUNAWAY])[:, None]
    m = np.array(caps)
    z = (np.log(m) - centre[..., None]) / spread[:, None]
    over = normal_cdf(-z)
    whole = np.exp(centre + spread**2 / 2.0)[..., None] * normal_cdf(z - spread[:, None])
    return LengthTables(
        log_median=median,
        spread=spread,
        prior=np.repeat(prior[:, None], len(ONSETS), axis=1),
        over=over,
        log_over=np.log(np.maximum(over, LEAST)),
        sent=whole + m * over,
    )
