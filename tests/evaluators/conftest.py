"""Two worlds small enough that their truth is a sum, and logs drawn from them."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluators.rows import RewardRange, Rows

Floats = NDArray[np.float64]
UNIT = RewardRange(0.0, 1.0)


def softmax(logits: Floats) -> Floats:
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


class World(NamedTuple):
    """c equally likely contexts, k actions, rewards 0 or 1."""

    mean: Floats  # (c, k) chance of a reward
    behavior: Floats  # (c, k)
    target: Floats  # (c, k)
    model: Floats  # (c, k) a biased reward model

    def truth(self, prob: Floats | None = None) -> float:
        """Exact value of a policy; of the target by default."""
        return float(((self.target if prob is None else prob) * self.mean).sum(axis=1).mean())

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Rows, NDArray[np.int64]]:
        """A log of n rows and the context of each."""
        context = rng.integers(self.mean.shape[0], size=n)
        below = self.behavior.cumsum(axis=1)[context] < rng.random(n)[:, None]
        slot = np.minimum(below.sum(axis=1), self.mean.shape[1] - 1)
        reward = (rng.random(n) < self.mean[context, slot]).astype(np.float64)
        tables = (self.behavior[context], self.target[context], self.model[context])
        return Rows(reward, slot, *tables, reward_range=UNIT), context


@pytest.fixture(scope="session")
def world() -> World:
    """8 contexts x 5 actions, every action tried with probability >= 0.05."""
    rng = np.random.default_rng(3)
    mean = rng.uniform(0.1, 0.9, size=(8, 5))
    behavior = 0.25 / 5 + 0.75 * softmax(rng.normal(size=(8, 5)))
    behavior /= behavior.sum(axis=1, keepdims=True)
    model = np.clip(mean + rng.normal(scale=0.15, size=mean.shape), 0.0, 1.0)
    return World(mean, behavior, softmax(3 * mean), model)


@pytest.fixture(scope="session")
def heavy_world() -> World:
    """4,000 contexts x 50 actions, ESS/n = 0.12, weights in the hundreds and beyond.

    A smaller draw of the problem on which the interval was chosen (K = 50, 12 features, softmax
    logger and target, a model whose error is what the target likes).
    """
    rng = np.random.default_rng(5)
    reward, logger, liking = (rng.normal(size=(50, 12)) / np.sqrt(12) for _ in range(3))
    x = np.random.default_rng(1).normal(size=(4000, 12))
    mean = 1 / (1 + np.exp(-x @ reward.T))
    model = np.clip(mean + 0.1 * np.tanh(x @ liking.T), 0.0, 1.0)
    target = softmax(x @ liking.T + 0.5 * (x @ reward.T))
    return World(mean, softmax(x @ logger.T), target, model)
