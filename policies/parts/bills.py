"""What an answer costs beside its quality: money at known prices, seconds on a learned line, room reserved.

Prices are never learned: the decision says what they are now. Latency is a line in tokens
per model. Input tokens follow from what was paid, less what was sent, at known prices.
"""

from typing import NamedTuple

import numpy as np

from envs.arrays import Array, namespace
from envs.reward import Weights

__all__ = ["Bill", "Paid", "asked", "bill", "latency", "line"]

A_PRIORI = (0.5, 0.25, 0.02, 0.2)  # weight, seconds before the first token, weight, seconds per 1,000 tokens: .5 and 10
SURE = 10.0  # calls before a line is known well enough to be surprised
SPREAD = 0.25  # of log latency around its line, at most taken for granted
USUAL = 2.0  # spreads: what is farther speaks for a change
FARTHEST = 1.5  # of log latency that one call may be off


class Bill(NamedTuple):
    """Reward lost, per model (models,): at once, and per 1,000 tokens sent; () per 4,096 tokens reserved."""

    fixed: Array
    each: Array
    reserved: Array


class Paid(NamedTuple):
    """One call: () place of its model, 1,000 tokens sent, seconds, USD."""

    model: Array
    sent: Array
    seconds: Array
    cost: Array


def line(own: Array) -> tuple[Array, Array]:
    """(models,) seconds before the first token, and per 1,000 tokens, from sums (models, 5).

    The sums are: calls, x, x^2, y, x y; x in 1,000 tokens, y in seconds.
    """
    n, x, xx, y, xy = (own[:, i] for i in range(5))
    n, y, xx, xy = (a + b for a, b in zip((n, y, xx, xy), A_PRIORI, strict=True))
    determinant = n * xx - x * x
    return (xx * y - x * xy) / determinant, (n * xy - x * y) / determinant


def bill(worth: Array, prices: Array, own: tuple[Array, Array]) -> Bill:
    """The bill of a task type.

    Args:
        worth: (6,) reward weights, in the order of `envs.reward.Weights`.
        prices: (models, 2) USD per million input and output tokens, now.
        own: (models, 5) latency sums; (2,) calls and their input tokens in 1,000.
    """
    weight, (first, each) = Weights(*(worth[i] for i in range(6))), line(own[0])
    rate = prices / 1e3  # USD per 1,000 tokens
    fixed = weight.cost * rate[:, 0] * own[1][1] / own[1][0] + weight.latency * first
    return Bill(fixed, weight.cost * rate[:, 1] + weight.latency * each + weight.tokens, weight.reservation)


def latency(own: Array, paid: Paid) -> tuple[Array, Array]:
    """(models, 5) sums after one more call, and nats in favour of starting afresh."""
    xp, x = namespace(own), paid.sent
    first, each = line(own)
    expected = first[paid.model] + each[paid.model] * x
    floor = 0.05 + xp.zeros_like(x)  # seconds
    off = xp.log((paid.seconds + floor) / (xp.where(expected > 0.0, expected, 0.0 * x) + floor))
    here = xp.astype(xp.asarray(np.arange(own.shape[0], dtype=np.int32)) == paid.model, own.dtype)
    row = xp.stack([xp.ones_like(x), x, x * x, paid.seconds, x * paid.seconds])
    nats = xp.abs(xp.clip(off, -FARTHEST, FARTHEST)) / SPREAD - USUAL
    return own + here[:, None] * row[None, :], xp.where(own[paid.model][0] > SURE, nats, 0.0 * nats)


def asked(own: Array, paid: Paid, prices: Array) -> Array:
    """(2,) calls and their input tokens in 1,000 after one more call, at the model's (2,) prices now."""
    xp, rate = namespace(own), prices / 1e3
    known = rate[0] > 0.0
    tokens = (paid.cost - rate[1] * paid.sent) / xp.where(known, rate[0], xp.ones_like(rate[0]))
    return own + xp.stack([xp.ones_like(tokens), xp.where(known, tokens, 0.0 * tokens)])
