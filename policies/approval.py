"""When the trust region moves: two approval rules, one with a belief and one without.

`improve(gamma)`: the posterior, averaged over a reservoir of this task type's contexts,
gives a candidate a probability of at least gamma to beat the incumbent by `gain`.
`two_sample(z)`: the policy's own inverse-propensity-weighted rewards differ by z standard
errors; a Hajek mean per slot, so it needs no belief.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace
from policies.base import Belief
from policies.masses import TIE, pick

__all__ = ["TALLY_COLUMNS", "Params", "Rule", "improve", "is_better", "leaves", "one_hot_slot", "tallied", "two_sample"]


@dataclass(frozen=True)
class Params:
    """Which rule moves the approved parameters, and how sure it must be."""

    rule: str = field(default="improve", metadata={"choices": ("improve", "two_sample"), "static": True})
    gamma: float = field(default=0.8, metadata={"ge": 0.5, "le": 1.0, "unit": "posterior probability"})
    gain: float = field(default=0.005, metadata={"ge": 0.0, "le": 1.0, "unit": "share of the reward range"})
    z: float = field(default=2.0, metadata={"ge": 0.0, "le": 10.0, "unit": "standard errors"})
    min_evaluations: int = field(default=5, metadata={"ge": 1, "le": 10**6, "unit": "since the last approval"})
    min_plays: int = field(default=3, metadata={"ge": 2, "le": 10**6, "unit": "plays of each side, two_sample"})


class Rule(NamedTuple):
    """`Params` as leaves, () each; `by_belief` is 1.0 for `improve`: one program serves both rules."""

    by_belief: Array
    gamma: Array
    gain: Array
    z: Array
    min_evaluations: Array
    min_plays: Array


def leaves(params: Params) -> Rule:
    """The leaves of a config."""
    by_belief, plays = float(params.rule == "improve"), float(params.min_plays)
    return Rule(by_belief, params.gamma, params.gain, params.z, np.int32(params.min_evaluations), plays)


# Columns of a tally, per window slot since the last approval: sums over plays with weight
# w = 1 / propensity. One array, so that a state has one leaf to move.
PLAYS, W, WR, W2, W2R, W2RR = range(6)
TALLY_COLUMNS = 6


def _slots(tally: Array) -> Array:
    xp = namespace(tally)
    return xp.asarray(np.arange(tally.shape[0], dtype=np.int32))


def tallied(tally: Array, played: Array, weight: Array, reward: Array) -> Array:
    """A tally (k, 6) with one more play of the slot where `played` (k,) holds: its inverse propensity and reward.

    A play out of the window's reach (a reward that came late) counts nowhere.
    """
    xp = namespace(tally)
    hit = xp.astype(played, tally.dtype)
    one, w2 = xp.ones_like(weight), weight * weight
    terms = xp.stack([one, weight, weight * reward, w2, w2 * reward, w2 * reward * reward])
    return tally + hit[:, None] * terms[None, :]


def two_sample(tally: Array, feasible: Array, *, incumbent: Array, z: Array, min_plays: Array) -> Array:
    """(k,) one-hot of the slot that beats the incumbent by z standard errors, zeros if none does.

    Args:
        tally: (k, 6) as `tallied`.
        feasible: (k,) boolean.
        incumbent: () slot.
        z: () standard errors.
        min_plays: () plays that both sides need.
    """
    xp = namespace(tally)
    w, plays = tally[:, W], tally[:, PLAYS]
    total = xp.where(w > 0.0, w, xp.ones_like(w))
    mean = tally[:, WR] / total
    spread = tally[:, W2RR] - 2.0 * mean * tally[:, W2R] + mean * mean * tally[:, W2]
    variance = xp.where(spread > 0.0, spread, xp.zeros_like(spread)) / (total * total)
    gap = mean - mean[incumbent]
    error = xp.sqrt(variance + variance[incumbent]) + 1e-12
    enough = (plays >= min_plays) & (plays[incumbent] >= min_plays)
    score = xp.where(enough & feasible, gap / error, -xp.ones_like(gap))
    slots = _slots(tally)
    first = xp.min(xp.where((score == xp.max(score)) & (score > z), slots, tally.shape[0]))
    return xp.astype(slots == first, tally.dtype)


def improve(mean: Array, feasible: Array, *, incumbent: Array, span: Array) -> Array:
    """() slot of the candidate: the best posterior mean, ties as everywhere."""
    return one_hot_slot(pick(mean, feasible, incumbent=incumbent, span=span))


def one_hot_slot(hot: Array) -> Array:
    """() int32 slot of a one-hot (k,); 0 for all zeros."""
    xp = namespace(hot)
    return xp.sum(xp.where(hot > 0.0, _slots(hot), 0), dtype=xp.int32)


def is_better(pair: Belief, *, gamma: Array, margin: Array) -> Array:
    """() whether the draws of (candidate, incumbent) favour the candidate by `margin` with probability >= gamma."""
    xp = namespace(pair.mean)
    wins = pair.draws[0] > pair.draws[1] + margin
    share = xp.mean(xp.astype(wins, pair.mean.dtype))
    return share >= gamma - TIE
