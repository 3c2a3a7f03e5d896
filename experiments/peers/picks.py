"""The posterior pick of a peer that has no distribution of its own: a Gaussian process over its trials.

Matern 5/2, one length per axis, constant mean; lengths and noise of the highest posterior density,
searched for from where the last fit ended. The pick climbs from the best trial along whole axes
to a legal action that no axis can better. Rewards alone would pick the luckiest trial.
Source: Rasmussen & Williams (2006), equations 2.25, 2.30 and 4.17; the amplitude is maximised out.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from experiments.peers.space import Space

__all__ = ["first_scales", "fitted", "pick"]

Floats = NDArray[np.float64]
LENGTH, LENGTH_SPREAD = 0.4, 0.8  # prior median of a length, in sides of the cube; spread of its logarithm
RATIO, RATIO_SPREAD = 0.5, 1.5  # likewise of noise variance over signal variance
LENGTH_ENDS, RATIO_ENDS = (0.05, 5.0), (1e-4, 100.0)
PASSES, STEP = 3, 1.5  # passes over all scales at every fit; the factor that is tried both ways
TINY = 1e-12


def first_scales(space: Space) -> Floats:
    """(k + 1,) the prior's medians, as logarithms: a length per axis, one for another model, the noise ratio.

    Args:
        space: the legal actions.
    """
    n_lengths = len(space.axes) + bool(space.models)
    return np.asarray(np.log(np.append(np.full(n_lengths, LENGTH), RATIO)))


def fitted(space: Space, action_ids: NDArray[np.int32], rewards: Floats, *, scales: Floats) -> Floats:
    """Scales of a posterior density no lower than the given ones': pattern search, one number at a time.

    Args:
        space: the legal actions.
        action_ids: (n,) actions tried.
        rewards: (n,) what each brought.
        scales: (k + 1,) where to begin.
    """
    trials, centred = _coordinates(space, space.rows(action_ids)), rewards - rewards.mean()
    middle, lowest, highest = first_scales(space), *_ends(len(scales))
    spread = np.append(np.full(len(scales) - 1, LENGTH_SPREAD), RATIO_SPREAD)

    def loss(tried: Floats) -> float:
        surprise = (tried - middle) / spread
        return _solved(space, trials, centred, scales=tried)[1] + 0.5 * float(surprise @ surprise)

    best, least = scales, loss(scales)
    moves = np.log(STEP) * np.concatenate([[e, -e] for e in np.eye(len(scales))])
    for move in np.tile(moves, (PASSES, 1)):
        tried = np.clip(best + move, lowest, highest)
        if (value := loss(tried)) < least:
            best, least = tried, value
    return best


def pick(space: Space, action_ids: NDArray[np.int32], rewards: Floats, *, scales: Floats) -> int:
    """The id of a legal action whose posterior mean no change of one parameter betters.

    Args:
        space: the legal actions.
        action_ids: (n,) actions tried.
        rewards: (n,) what each brought.
        scales: (k + 1,) of the process.
    """
    rows, mean = space.rows(action_ids), float(rewards.mean())
    trials, lengths = _coordinates(space, rows), _lengths(space, scales)
    weights = _solved(space, trials, rewards - mean, scales=scales)[0]

    def best_of(among: NDArray[np.intp]) -> tuple[int, float]:
        values = _matern(_coordinates(space, among) / lengths, trials / lengths) @ weights
        return int(among[values.argmax()]), float(values.max())

    here, height = best_of(rows)
    while True:
        there, higher = best_of(_lines(space, here))
        if higher <= height + TINY:
            return int(space.ids[here])
        here, height = there, higher


def _ends(size: int) -> tuple[Floats, Floats]:
    low, high = np.log(np.array([LENGTH_ENDS] * (size - 1) + [RATIO_ENDS])).T
    return low, high


def _coordinates(space: Space, rows: NDArray[np.intp]) -> Floats:
    """(m, c) places, and behind them a corner per model, 1 apart."""
    if not space.models:
        return np.asarray(space.places[rows])
    corners = np.eye(len(space.models)) / np.sqrt(2.0)
    return np.concatenate([space.places[rows], corners[space.model[rows]]], axis=1)


def _lengths(space: Space, scales: Floats) -> Floats:
    """(c,) length of every coordinate: the models' corners share one."""
    repeats = [1] * len(space.axes) + [len(space.models)] * bool(space.models)
    return np.asarray(np.exp(np.repeat(scales[:-1], repeats)))


def _matern(left: Floats, right: Floats) -> Floats:
    """(m, n) correlation of points (m, c) and (n, c), in units of the lengths."""
    gaps = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2.0 * left @ right.T
    far = np.sqrt(5.0 * np.maximum(gaps, 0.0))
    return np.asarray((1.0 + far + far**2 / 3.0) * np.exp(-far))


def _solved(space: Space, trials: Floats, centred: Floats, *, scales: Floats) -> tuple[Floats, float]:
    """(n,) the kernel's inverse times the rewards; minus the log likelihood, without its constants."""
    scaled = trials / _lengths(space, scales)
    kernel = _matern(scaled, scaled)
    kernel[np.diag_indices(len(kernel))] += np.exp(scales[-1])
    factor = cho_factor(kernel, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, centred, check_finite=False)
    amplitude = float(centred @ weights) / len(centred)
    return weights, 0.5 * len(centred) * np.log(amplitude + TINY) + float(np.log(np.diag(factor[0])).sum())


def _lines(space: Space, row: int) -> NDArray[np.intp]:
    """Rows that differ from one in at most one parameter, the model included."""
    n_changes = (space.places != space.places[row]).sum(axis=1) + (space.model != space.model[row])
    return np.flatnonzero(n_changes <= 1)
