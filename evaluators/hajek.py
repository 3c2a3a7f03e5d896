"""Intervals from the weighted scores of an adaptive log: the Hajek mean, its standard error and how far to trust it.

The weights of the rounds are divided by their own sum (Hajek), which costs a bias of order 1 / (effective rounds)
and takes off most of the variance and of the skew that importance weights bring. What is left is a problem of few
terms: a standard normal quantile is too short, so the degrees of freedom count the rounds that carry the weight.
Arrays are (..., T) as in `adaptive_weights`; results are (...).
Source: Hajek (1971); Hadad et al. (2021), equation 5, for `weighted_mean`; MacKinnon & White (1985) for HC2.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from evaluators.adaptive_weights import kish, weights
from evaluators.rows import Bools, Floats

LARGEST_SHARE = 0.95  # of the weight in one round, where HC2 stops to inflate; the interval is infinite by then
VARIANCES = ("pooled", "hc2")


class Ends(NamedTuple):
    """Ends of the intervals, reward units; infinite where the rounds cannot tell."""

    lo: Floats  # (...)
    hi: Floats  # (...)


class Fitted(NamedTuple):
    """One value per log, in reward units, with the Student-t law of its error."""

    value: Floats  # (...)
    stderr: Floats  # (...)
    df: Floats  # (...) degrees of freedom, infinity for the normal law

    def bounds(self, confidence: float = 0.95) -> Ends:
        """Equal-tailed interval; the whole line with less than one degree of freedom."""
        known = (self.df >= 1) & np.isfinite(self.stderr) & np.isfinite(self.value)
        quantile = stdtrit(np.where(known, self.df, 1.0), 0.5 + confidence / 2)
        half = quantile * np.where(known, self.stderr, 0.0)
        value = np.where(known, self.value, 0.0)
        return Ends(np.where(known, value - half, -np.inf), np.where(known, value + half, np.inf))


def arm_mean(
    reward: Floats, played: Bools, *, propensity: Floats, variance: str = "pooled", allocation: str = "two_point"
) -> Fitted:
    """Mean reward of one action from a log whose logger saw no contexts: the Hajek mean of its rounds.

    Args:
        reward: (..., T) reward units; read where `played`.
        played: (..., T) whether the round played the action.
        propensity: (..., T) of the action in every round, played or not.
        variance: `pooled`: one noise variance of the action over time, t with hits - 1 degrees of freedom.
            `hc2`: noise may drift while the mean stays, t with Kish - 1 degrees of freedom.
        allocation: as `adaptive_weights.weights`.

    Raises:
        ValueError: an unknown variance or allocation.
    """
    share = weights(propensity, allocation)
    np.divide(share, propensity, out=share, where=played)
    share *= played
    if variance == "pooled":
        return pooled(reward, share)
    if variance == "hc2":
        return hc2(reward, share)
    raise ValueError(f"variance = {variance!r}, need one of {', '.join(VARIANCES)}")


def pooled(reward: Floats, share: Floats) -> Fitted:
    """Hajek mean with one noise variance for all rounds that count, t with hits - 1 degrees of freedom.

    Args:
        reward: (..., T) reward units.
        share: (..., T) weight of each round, h_t / e_t where it counts and 0 elsewhere.
    """
    total = share.sum(axis=-1)
    part = share / np.where(total > 0, total, 1.0)[..., None]
    value = np.einsum("...t,...t->...", part, reward)
    hit = share > 0
    hits = hit.sum(axis=-1)
    plain = np.einsum("...t,...t->...", hit, reward) / np.maximum(hits, 1)
    gap = (reward - plain[..., None]) * hit
    noise = np.einsum("...t,...t->...", gap, gap) / np.maximum(hits - 1, 1)
    stderr = np.sqrt(noise * np.einsum("...t,...t->...", part, part))
    return Fitted(np.where(total > 0, value, np.nan), stderr, hits - 1.0)


def hc2(residual: Floats, share: Floats, *, part: Floats | None = None, round_weight: Floats | None = None) -> Fitted:
    """Hajek mean with the HC2 variance, t with Kish - 1 degrees of freedom: noise may differ by round.

    Args:
        residual: (..., T) reward less the model's prediction, or the reward itself without a model.
        share: (..., T) weight h_t w_t of the residual, w_t the importance weight of the logged action.
        part: (..., T) sum_a target q, what the model says of the round; None without a model.
        round_weight: (..., T) weight h_t of `part`; needed with it.

    Returns:
        sum h part / sum h + sum h w e / sum h w; the Kish number is that of the (h w)^2, the terms of the variance.

    Raises:
        ValueError: a `part` without its weights.
    """
    total = share.sum(axis=-1)
    own = share / np.where(total > 0, total, 1.0)[..., None]
    value = np.einsum("...t,...t->...", own, residual)
    term = own * (residual - value[..., None])
    own_size = own * own
    df = kish(own_size) - 1
    np.minimum(own, LARGEST_SHARE, out=own)
    term /= np.sqrt(1 - own)
    if part is not None:
        if round_weight is None:
            raise ValueError("part is given and round_weight is None, need the weight h_t of every round")
        lead = round_weight / round_weight.sum(axis=-1, keepdims=True)
        centre = np.einsum("...t,...t->...", lead, part)
        term += lead * (part - centre[..., None])
        value = value + centre
    stderr = np.sqrt(np.einsum("...t,...t->...", term, term))
    return Fitted(np.where(total > 0, value, np.nan), stderr, df)


def weighted_mean(score: Floats, round_weight: Floats, *, df: Floats | float = np.inf) -> Fitted:
    """Adaptively weighted scores (AW-AIPW): sum h score / sum h with the sandwich variance.

    With the normal law (`df` infinite) it covers too rarely on logs of thousands of rounds: for comparison.

    Args:
        score: (..., T) unbiased scores, reward units.
        round_weight: (..., T) weights h_t.
        df: (...) degrees of freedom.
    """
    total = round_weight.sum(axis=-1)
    value = np.einsum("...t,...t->...", round_weight, score) / total
    term = round_weight * (score - value[..., None])
    stderr = np.sqrt(np.einsum("...t,...t->...", term, term)) / total
    return Fitted(value, stderr, np.broadcast_to(np.asarray(df, dtype=np.float64), value.shape))
