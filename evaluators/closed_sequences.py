"""Confidence sequences in closed form: empirical Bernstein, exactly valid, and an asymptotic one, which is not.

Both give an end at every decision from running sums, so both are cheaper than `betting.py`, the one
to use. Empirical Bernstein is as valid as that under the same assumptions, and about twice as wide.
The asymptotic sequence reads plain doubly robust scores and promises its level only in the limit of
a late start: on heavy weights it excludes the truth too often. It is kept as the named alternative
whose failure the certification shows (`experiments/certifying/sequences.py`), and no gate may use it.
Source: Waudby-Smith & Ramdas (2020), theorem 2, with Fan, Grama & Liu (2015) for scores bounded on
one side alone; Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021),
"Time-uniform central limit theory and asymptotic confidence sequences".
"""

from typing import NamedTuple

import numpy as np

from evaluators.rows import Bools, Floats

PRIOR_ROUNDS = 5  # decisions that the prior mean 1/2 and the prior variance count for
MAX_BET = 0.75  # of empirical Bernstein, below 1


class Path(NamedTuple):
    """Two ends after each decision, (s, n) each, in units of the scores."""

    lo: Floats
    hi: Floats

    def ever_excludes(self, value: float) -> Bools:
        """(s,) whether a run excludes the value at any decision."""
        return np.asarray(((self.lo > value) | (self.hi < value)).any(axis=-1))


def empirical_bernstein(lower: Floats, upper: Floats, *, cut: float, confidence: float = 0.95) -> Path:
    """Predictable plug-in empirical Bernstein, the running intersection; valid as `betting.py` is.

    Args:
        lower: (s, n) lower scores of one cut, >= -cut.
        upper: (s, n) upper scores of it, <= 1 + cut.
        cut: k, in units of the rescaled reward.
        confidence: of the whole sequence.

    Raises:
        ValueError: a score beyond its bound, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    if not (lower.min() >= -cut - 1e-9 and upper.max() <= 1 + cut + 1e-9):
        raise ValueError(
            f"scores reach down to {lower.min():.4g} and up to {upper.max():.4g}, need >= {-cut:g} and <= {1 + cut:g}; "
            "are these scores of this cut?"
        )
    price = np.log(2 / (1 - confidence))
    return Path(_from_below(lower, cut=cut, price=price), 1 - _from_below(1 - upper, cut=cut, price=price))


def asymptotic(scores: Floats, *, tuned: int = 200, first: int = 20, confidence: float = 0.95) -> Path:
    """Normal-mixture sequence about the running mean; in the limit of a late `first` only.

    Args:
        scores: (s, n) any unbiased scores.
        tuned: decisions at which it is narrowest.
        first: decision before which nothing is said, >= 2.
        confidence: promised in the limit.

    Raises:
        ValueError: tuned or first below 2, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    if tuned < 2 or first < 2:
        raise ValueError(f"tuned = {tuned}, first = {first}, need at least 2 decisions for a variance")
    t, alpha = np.arange(1, scores.shape[-1] + 1), 1 - confidence
    mean = scores.cumsum(axis=-1) / t
    variance = np.maximum((scores**2).cumsum(axis=-1) / t - mean**2, 0.0)
    rho = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / tuned  # rho^2: narrowest at `tuned`
    grown = t * rho + 1
    half = np.sqrt(variance * 2 * grown / (t * t * rho) * np.log(np.sqrt(grown) / alpha))
    half[..., : first - 1] = np.inf
    return Path(mean - half, mean + half)


def _from_below(scores: Floats, *, cut: float, price: float) -> Floats:
    """Lower ends for the mean of scores >= -cut, all (s, n); each bet and guess uses earlier scores alone."""
    share = scores / (cut + 1)
    t = np.arange(1, share.shape[-1] + 1)
    top = 1 / (cut + 1)  # of the mean; a guess at most that keeps share - guess >= -1
    before = share.cumsum(axis=-1) - share
    guess = np.minimum((PRIOR_ROUNDS * top / 2 + before) / (PRIOR_ROUNDS - 1 + t), top)
    square = (share - guess) ** 2
    variance = (PRIOR_ROUNDS * top**2 + square.cumsum(axis=-1) - square) / (PRIOR_ROUNDS - 1 + t)
    bet = np.minimum(np.sqrt(2 * price / (variance * t * np.log(1 + t))), MAX_BET)
    paid = (square * (-np.log1p(-bet) - bet)).cumsum(axis=-1)
    ends = ((bet * share).cumsum(axis=-1) - price - paid) / bet.cumsum(axis=-1) * (cut + 1)
    return np.asarray(np.maximum.accumulate(np.maximum(ends, 0.0), axis=-1))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence:.6g}, need 0 < confidence < 1, e.g. 0.95")
