"""How much each round of an adaptive log counts: weights that undo what the logger's learning does to a mean.

A logger that learns starves what looks bad, so late rounds of a rarely played action have rare, huge importance
weights and the mean of scores is not normal even at thousands of rounds. Weights h_t that shrink where the
action was starved make it so. They may depend on the rounds before t and nothing else: a weight that looks at
the context of its own round counts some contexts for more than others and biases the estimate.
All arrays are (..., T): rounds in time order last, any number of logs before.
Source: Hadad, Hirshberg, Zhan, Wager & Athey (2021), section 3 (constant and two-point allocation); Zhan, Hadad,
Hirshberg & Athey (2021) for contexts.
"""

import numpy as np

from evaluators.rows import Floats

DECAY = 0.7  # of the exploration floor c t^-DECAY that the two-point rates are made for
KINDS = ("two_point", "constant", "equal")


def second_moment(behavior: Floats, target: Floats) -> Floats:
    """E[w^2] of a round given its context: sum_a target^2 / behavior over the slots with support.

    Args:
        behavior: (..., k) propensities.
        target: (..., k) target probabilities in the same slots.

    >>> second_moment(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    array([ 2., 10.])
    """
    ratio = np.divide(target, behavior, out=np.zeros_like(behavior), where=behavior > 0)
    return np.asarray(np.einsum("...k,...k->...", target, ratio))


def effective_propensity(moment: Floats, *, window: int) -> Floats:
    """One number for how well each round speaks of the target: 1 / E[w^2], as the rounds before it show.

    For a target that always plays one action and a logger that sees no contexts it is that action's propensity.

    Args:
        moment: (..., T) `second_moment` of every round.
        window: rounds before t over which it is averaged; 0 takes round t itself, which is only right where the
            logger sees no contexts. The first round has none before it and takes itself.

    Returns:
        (..., T) in (0, 1].

    >>> effective_propensity(np.array([2.0, 10.0, 5.0]), window=0)
    array([0.5, 0.1, 0.2])
    """
    return np.asarray(1 / np.maximum(lagged_mean(moment, window) if window else moment, 1.0))


def lagged_mean(values: Floats, window: int) -> Floats:
    """Mean of the `window` values before each, or of as many as there are; the first stands for itself.

    >>> lagged_mean(np.array([4.0, 2.0, 6.0, 1.0]), 2)
    array([4., 4., 3., 4.])
    """
    n_rounds = values.shape[-1]
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(axis=-1)], axis=-1)
    end = np.arange(1, n_rounds)
    start = np.maximum(end - window, 0)
    later = (total[..., end] - total[..., start]) / (end - start)
    return np.concatenate([values[..., :1], later], axis=-1)


def weights(propensity: Floats, kind: str = "two_point") -> Floats:
    """Weights h_t of the rounds, from propensities or effective propensities.

    Args:
        propensity: (..., T) in [0, 1].
        kind: `two_point`, `constant` (variance spread evenly) or `equal` (plain scores).

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "two_point":
        return two_point(propensity)
    if kind == "constant":
        return np.asarray(np.sqrt(propensity))
    if kind == "equal":
        return np.ones_like(propensity)
    raise ValueError(f"allocation = {kind!r}, need one of {', '.join(KINDS)}")


def two_point(propensity: Floats, *, decay: float = DECAY) -> Floats:
    """Weights h_t that spend the variance left between a worst and a best future.

    Round t gets the share lambda_t of the variance not yet spent: h_t^2 = e_t lambda_t prod_{s<t} (1 - lambda_s),
    lambda_t lying between 1 / (T - t + 1), right if e stays 1, and the rate right if e falls as t^-decay,
    with e_t telling where. The last round spends what is left.

    Args:
        propensity: (..., T) e_t in [0, 1].
        decay: of the exploration floor, 0 < decay < 1.

    Returns:
        (..., T) weights >= 0.

    >>> two_point(np.ones(4)) ** 2
    array([0.25, 0.25, 0.25, 0.25])
    """
    n_rounds = propensity.shape[-1]
    t = np.arange(1, n_rounds + 1, dtype=np.float64)
    starved = (1 - decay) / ((1 - decay) + n_rounds * (t / n_rounds) ** decay - t)
    steady = 1 / (1 + n_rounds - t)
    rate = np.clip(starved + propensity * (steady - starved), 0.0, 1.0)
    left = np.ones_like(rate)
    np.cumprod(1 - rate[..., :-1], axis=-1, out=left[..., 1:])
    rate *= left
    rate *= propensity
    return np.asarray(np.sqrt(rate))


def kish(size: Floats) -> Floats:
    """How many equal terms are as concentrated as these: (sum c)^2 / sum c^2; 0 where all are 0.

    Args:
        size: (..., T) sizes >= 0.

    >>> kish(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    array([2., 1.])
    """
    top = size.max(axis=-1, initial=0.0)
    part = size / np.where(top > 0, top, 1.0)[..., None]
    square = np.einsum("...t,...t->...", part, part)
    return np.asarray(np.divide(part.sum(axis=-1) ** 2, square, out=np.zeros_like(square), where=square > 0))
