"""When the trust region moves: rules with a belief, and one without.

`improve`: the posterior, averaged over a reservoir of this task type's contexts, gives a
candidate a probability of at least gamma to beat the incumbent by `gain`, and of at least
`safe` not to lose more than `delta`. `non_inferior`: only the latter, at `ni`. `hybrid`:
improve, and a non-inferior step where nothing was approved for `stuck` evaluations.
`passage`: the hybrid, whose steps go toward what the posterior mean of the whole lattice
promises, so that the region crosses flat ground. A ledger keeps the sum of accepted
losses, anchored to the best approved point. `two_sample(z)`: the policy's own
inverse-propensity-weighted rewards differ by z standard errors (classical A/B); it needs
no belief.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace, normal_cdf
from policies.base import Belief
from policies.masses import TIE, pick

__all__ = [
    "PASSAGE",
    "TALLY_COLUMNS",
    "Params",
    "Rule",
    "Standing",
    "improve",
    "is_better",
    "leaves",
    "one_hot_slot",
    "settled",
    "standing",
    "tallied",
    "two_sample",
]

PASSAGE = "passage"
RULES = ("improve", "non_inferior", "hybrid", PASSAGE, "two_sample")
NEVER = 1e9  # evaluations
_SHARE = {"ge": 0.0, "le": 1.0, "unit": "share of the reward range"}
_PROBABILITY = {"ge": 0.0, "le": 1.0, "unit": "posterior probability"}


@dataclass(frozen=True)
class Params:
    """Which rule moves the approved parameters, and how sure it must be.

    Attributes:
        ahead: a passage step needs the lattice to promise this much more than the incumbent.
        ledger: largest sum of losses accepted since the best approved point.
    """

    rule: str = field(default="improve", metadata={"choices": RULES, "static": True})
    gamma: float = field(default=0.8, metadata={"ge": 0.5, "le": 1.0, "unit": "posterior probability"})
    gain: float = field(default=0.005, metadata=_SHARE)
    safe: float = field(default=0.0, metadata=_PROBABILITY)
    delta: float = field(default=0.04, metadata=_SHARE)
    ni: float = field(default=0.9, metadata=_PROBABILITY)
    stuck: int = field(default=6, metadata={"ge": 1, "le": 10**6, "unit": "evaluations without an approval"})
    ahead: float = field(default=0.04, metadata=_SHARE)
    ledger: float = field(default=0.08, metadata=_SHARE)
    z: float = field(default=2.0, metadata={"ge": 0.0, "le": 10.0, "unit": "standard errors"})
    min_evaluations: int = field(default=5, metadata={"ge": 1, "le": 10**6, "unit": "since the last approval"})
    min_plays: int = field(default=3, metadata={"ge": 2, "le": 10**6, "unit": "plays of each side, two_sample"})


class Rule(NamedTuple):
    """`Params` as leaves, () each: one program serves all rules but `passage`, which asks for the outlook.

    `by_belief` is 0.0 for `two_sample`; a rule that never improves, or never steps, waits for ever.
    """

    by_belief: Array
    gamma: Array
    gain: Array
    safe: Array
    delta: Array
    ni: Array
    stuck: Array
    ahead: Array
    ledger: Array
    z: Array
    min_evaluations: Array
    min_plays: Array


def leaves(params: Params) -> Rule:
    """The leaves of a config."""
    steps, improves = params.rule in ("non_inferior", "hybrid", PASSAGE), params.rule != "non_inferior"
    stuck = float(params.stuck if improves else 1) if steps else NEVER
    return Rule(
        by_belief=float(params.rule != "two_sample"),
        gamma=params.gamma if improves else 2.0,  # no probability reaches it
        gain=params.gain,
        safe=params.safe,
        delta=params.delta,
        ni=params.ni,
        stuck=stuck,
        ahead=params.ahead,
        ledger=params.ledger,
        z=params.z,
        min_evaluations=np.int32(params.min_evaluations),
        min_plays=float(params.min_plays),
    )


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


class Standing(NamedTuple):
    """Candidates against the incumbent, (c,) each: expected gain, P(the loss is at most delta)."""

    gain: Array
    tolerable: Array


def standing(belief: Belief, *, delta: Array) -> Standing:
    """How the first c of c + 1 actions stand against the last, the incumbent, by their joint draws.

    Args:
        belief: of c candidates, then the incumbent.
        delta: () loss that is tolerated, in reward units.

    >>> one = Belief(np.array([0.1, 0.0]), np.zeros(2), np.array([[0.2, 0.0], [0.0, 0.0]]))
    >>> standing(one, delta=np.float64(0.0)).tolerable.round(3)
    array([0.841])
    """
    xp = namespace(belief.mean)
    gain, ahead = belief.mean[:-1] - belief.mean[-1], belief.draws[:-1, :] - belief.draws[-1, :][None, :]
    off = ahead - xp.mean(ahead, axis=-1)[:, None]
    sd = xp.sqrt(xp.mean(off * off, axis=-1)) + 1e-9
    return Standing(gain, normal_cdf((gain + delta) / sd))


def settled(debt: Array, gain: Array, *, is_step: Array) -> Array:
    """The ledger after an approval: a step adds its expected loss, an improvement pays back.

    Args:
        debt: () losses accepted since the best approved point, in reward units.
        gain: () expected gain of what was approved.
        is_step: () whether it was a non-inferior step.

    >>> float(settled(np.float64(0.02), np.float64(-0.01), is_step=np.bool_(True)))
    0.03
    """
    xp = namespace(debt)
    left = debt - gain
    return xp.where(is_step & (gain > 0.0), debt, xp.where(left > 0.0, left, xp.zeros_like(left)))
