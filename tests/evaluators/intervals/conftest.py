"""Logs in memory, and the base problem of the certification: thousands of logs whose truth is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluators.rows import RewardRange, Rows
from experiments.certifying.pool import Pool, open_pool


@pytest.fixture(scope="session")
def pool() -> Pool:
    """Design ESS/n = 0.12, weights up to 6,281; rewards 0 or 1."""
    return open_pool()


@pytest.fixture(scope="session")
def draw_logs(pool) -> Callable[..., Rows]:
    """Logs of one length that stand one after another, as tables of the pool's contexts."""

    def draw(seed: int, *, n_logs: int, n: int) -> Rows:
        row, slot, reward = pool.draw(np.random.default_rng(seed), n_logs, n)
        tables = (pool.behavior, pool.target, pool.predicted)
        place = row.reshape(-1).astype(np.int64)
        return Rows(reward.reshape(-1), slot.reshape(-1), *tables, reward_range=RewardRange(0.0, 1.0), row=place)

    return draw


@pytest.fixture
def rows(world) -> Rows:
    """300 rows of mild weights."""
    log: Rows = world.draw(np.random.default_rng(0), 300)[0]
    return log


@pytest.fixture(scope="session")
def terms() -> Callable[[Rows], Any]:
    """Per row, by their textbook definitions: weight, residual, what the model says of the target, score."""

    def found(rows: Rows) -> Any:
        assert rows.predicted is not None
        place = np.arange(rows.slot.size)
        weight = rows.target[place, rows.slot] / rows.behavior[place, rows.slot]
        residual = rows.reward - rows.predicted[place, rows.slot]
        part = (rows.target * rows.predicted).sum(axis=1)
        return weight, residual, part, part + weight * residual

    return found
