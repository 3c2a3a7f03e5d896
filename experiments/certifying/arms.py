"""Adaptive logs with a known truth: Thompson sampling with exact, floored propensities, many logs at once.

The learner looks at what it has seen every 20 rounds, so a batch of rounds is drawn in one step and its
probabilities are the very ones it was drawn with. Noise is uniform, its half-width may differ by action and
drift; the learner never learns of either. Without contexts (c = 1) this is the three-arm design on which
intervals for adaptive logs are compared.
Source: Hadad et al. (2021), section 4, for the design; the floor is (1 / k) t^-0.7.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Indices = NDArray[np.int8]

SIGNALS = {"no_signal": (1.0, 1.0, 1.0), "low_signal": (0.9, 1.0, 1.1), "high_signal": (0.5, 1.0, 1.5)}
DECAY = 0.7  # of the floor
BATCH = 20  # rounds between two looks
FIRST = 3  # rounds per action before the first look, all equally likely
NOISE_VARIANCE = 1 / 3  # of uniform noise on [-1, 1], known to the learner
_FINE, _COARSE = (np.polynomial.legendre.leggauss(n) for n in (32, 16))
_REACH = 8.0  # standard deviations


class Logs(NamedTuple):
    """m logs of T rounds over c contexts and k actions."""

    context: Indices  # (m, T)
    action: Indices  # (m, T)
    reward: Floats  # (m, T)
    prob: Floats  # (versions, m, c, k) what the learner played
    believed: Floats  # (versions, m, c, k) mean reward it expected of each cell: a model from earlier rounds only
    version: NDArray[np.int64]  # (T,) which of them was in force

    def rounds(self, table: Floats) -> Floats:
        """(m, T, ...) what a table (versions, m, c, ...) held in each round, in the context of the round."""
        m = np.arange(self.action.shape[0])[:, None]
        return np.asarray(table[self.version, m, self.context])

    def cut(self, n_rounds: int) -> "Logs":
        """The first rounds: a shorter log of the same law."""
        log = (self.context[:, :n_rounds], self.action[:, :n_rounds], self.reward[:, :n_rounds])
        return self._replace(context=log[0], action=log[1], reward=log[2], version=self.version[:n_rounds])


def thompson(mean: Floats, stderr: Floats) -> Floats:
    """Probability that each of k independent normals is the largest.

    Args:
        mean: (..., k) means.
        stderr: (..., k) standard deviations > 0.

    Returns:
        (..., k) probabilities that sum to 1, by quadrature on either side of where the narrowest normal ends;
        within 2e-7 of the truth on every state that the three-arm design meets.
    """
    lo, hi = (mean - _REACH * stderr).max(axis=-1), (mean + _REACH * stderr).max(axis=-1)
    narrow = np.take_along_axis(mean + _REACH * stderr, stderr.argmin(axis=-1)[..., None], axis=-1)[..., 0]
    middle = np.clip(narrow, lo, hi)
    mass = _largest(mean, stderr, lo, middle, rule=_FINE) + _largest(mean, stderr, middle, hi, rule=_COARSE)
    return np.asarray(mass / mass.sum(axis=-1, keepdims=True))


def _largest(mean: Floats, stderr: Floats, lo: Floats, hi: Floats, *, rule: tuple[Floats, Floats]) -> Floats:
    """(..., k) mass of each normal being the largest with a value in [lo, hi], up to a common factor."""
    nodes, weights = rule
    node = lo[..., None] + (hi - lo)[..., None] * (nodes + 1) / 2
    z = (node[..., None, :] - mean[..., None]) / stderr[..., None]
    below = np.maximum(ndtr(z), 1e-300)
    density = np.exp(-0.5 * z * z) / stderr[..., None]
    mass = (density * (below.prod(axis=-2, keepdims=True) / below)) @ weights
    return np.asarray(mass * (hi - lo)[..., None])


def floored(prob: Floats, least: float) -> Floats:
    """Probabilities with none below `least`; what that takes is taken from the others in proportion.

    >>> floored(np.array([0.0, 0.5, 0.5]), 0.1)
    array([0.1 , 0.45, 0.45])
    """
    raised = np.maximum(prob, least)
    spare = raised - least
    excess = raised.sum(axis=-1, keepdims=True) - 1
    return np.asarray(raised - spare * excess / np.maximum(spare.sum(axis=-1, keepdims=True), 1e-12))


def versions(n_rounds: int, n_actions: int) -> NDArray[np.int64]:
    """(T,) which look of the learner is in force in each round; 0 is before the first."""
    t = np.arange(n_rounds)
    return np.where(t < FIRST * n_actions, 0, (t - FIRST * n_actions) // BATCH + 1)


def draw_logs(
    rng: np.random.Generator, mean: Floats, *, n_logs: int, n_rounds: int, half_width: Floats | float = 1.0
) -> Logs:
    """Let the learner log; contexts are equally likely.

    Args:
        rng: where everything comes from.
        mean: (c, k) mean rewards, or (T, c, k) where they drift.
        n_logs: m logs.
        n_rounds: T rounds; the first of them are a shorter log of the same law.
        half_width: of the uniform noise, to be broadcast to (T, c, k).
    """
    n_contexts, n_actions = mean.shape[-2:]
    shape = (n_rounds, n_contexts, n_actions)
    table, width = np.broadcast_to(mean, shape), np.broadcast_to(half_width, shape)
    version = versions(n_rounds, n_actions)
    context = rng.integers(n_contexts, size=(n_rounds, n_logs), dtype=np.int8)
    action, reward = np.empty((n_rounds, n_logs), np.int8), np.empty((n_rounds, n_logs))
    cells = (n_logs, n_contexts, n_actions)
    prob, believed = np.empty((version[-1] + 1, *cells)), np.empty((version[-1] + 1, *cells))
    count, total = np.zeros(cells), np.zeros(cells)
    for look, start in enumerate(np.flatnonzero(np.diff(version, prepend=-1))):
        now = slice(start, start + int((version == look).sum()))
        believed[look], prob[look] = _believe(count, total), 1 / n_actions
        if look:
            best = thompson(total / np.maximum(count, 1), np.sqrt(NOISE_VARIANCE / np.maximum(count, 1)))
            prob[look] = floored(best, (start + 1) ** -DECAY / n_actions)
        action[now], reward[now] = _play(rng, prob[look], context[now], table=table[now], width=width[now])
        _learn(count, total, context=context[now], action=action[now], reward=reward[now])
    by_log = np.ascontiguousarray
    return Logs(by_log(context.T), by_log(action.T), by_log(reward.T), prob, believed, version)


def _believe(count: Floats, total: Floats) -> Floats:
    """Mean of each cell (m, c, k), drawn by one round to that of its context, and that by one to that of the log."""
    log = total.sum(axis=(1, 2)) / np.maximum(count.sum(axis=(1, 2)), 1)
    context = (total.sum(axis=2) + log[:, None]) / (count.sum(axis=2) + 1)
    return np.asarray((total + context[..., None]) / (count + 1))


def _play(
    rng: np.random.Generator, prob: Floats, context: Indices, *, table: Floats, width: Floats
) -> tuple[Indices, Floats]:
    """Actions and rewards of a batch (b, m), drawn from the probabilities in force."""
    n_rounds, n_logs = context.shape
    edges = prob.cumsum(axis=-1)[..., :-1][np.arange(n_logs), context]
    action = (edges < rng.random((n_rounds, n_logs))[..., None]).sum(axis=-1)
    t = np.arange(n_rounds)[:, None]
    noise = rng.uniform(-1, 1, (n_rounds, n_logs)) * width[t, context, action]
    return action.astype(np.int8), table[t, context, action] + noise


def _learn(count: Floats, total: Floats, *, context: Indices, action: Indices, reward: Floats) -> None:
    """Add a batch to the running counts and sums of every cell, in place."""
    n_logs, n_contexts, n_actions = count.shape
    cell = (np.arange(n_logs) * n_contexts + context) * n_actions + action
    count += np.bincount(cell.ravel(), minlength=count.size).reshape(count.shape)
    total += np.bincount(cell.ravel(), reward.ravel(), minlength=count.size).reshape(count.shape)
