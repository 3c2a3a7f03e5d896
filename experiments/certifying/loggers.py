"""Who writes the logs on which sequences are judged: the base problem's logger, and one that learns.

The learner works on the pool's first 10,000 contexts. Every 50 decisions it takes one of four
policies: that which has earned most so far, or any with a chance of 0.2; its propensities depend on
all past rewards. Contexts stay independent, so the target's value is the same at every decision.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.certifying.pool import Drawn, Pool, open_pool, softmax

WAIT, CURIOSITY = 50, 0.2  # decisions between choices, chance of any policy
PULLS = (0.0, 1.0, 2.0, -1.0)  # of the learner's policies, toward the reward; 0 is the base problem's logger
N_CONTEXTS = 10_000


class Logger(NamedTuple):
    """A way of writing logs, and the tables its decisions are looked up in."""

    name: str
    pool: Pool
    draw: Callable[[np.random.Generator, int, int], Drawn]  # (rng, n_logs, n), as `Pool.draw`


def base_logger() -> Logger:
    """The base problem."""
    pool = open_pool()
    return Logger("base", pool, pool.draw)


def learning_logger() -> Logger:
    """Four policies stacked: row = policy x contexts + context, so that each has its own propensities."""
    pool = open_pool(n_contexts=N_CONTEXTS)
    scores = [pool.coefficients.logger + pull * pool.coefficients.reward for pull in PULLS]
    x, q, predicted, target = (
        np.tile(table, (len(PULLS), 1)) for table in (pool.x, pool.q, pool.predicted, pool.target)
    )
    stacked = pool._replace(x=x, q=q, predicted=predicted, target=target).logged_by(
        np.concatenate([softmax(pool.x @ score.T) for score in scores])
    )

    def draw(rng: np.random.Generator, n_logs: int, n: int) -> Drawn:
        parts, run = [], np.arange(n_logs)
        earned, tried = np.zeros((n_logs, len(PULLS))), np.full((n_logs, len(PULLS)), 1e-9)
        for first in range(0, n, WAIT):
            any_policy = rng.integers(len(PULLS), size=n_logs)
            policy = np.where(rng.random(n_logs) < CURIOSITY, any_policy, (earned / tried).argmax(axis=1))
            context = rng.integers(N_CONTEXTS, size=(n_logs, min(WAIT, n - first)))
            parts.append(stacked.draw_at(rng, (policy[:, None] * N_CONTEXTS + context).astype(np.int32)))
            earned[run, policy] += parts[-1].reward.sum(axis=1)
            tried[run, policy] += context.shape[1]
        return Drawn(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))

    return Logger("learning", stacked, draw)
