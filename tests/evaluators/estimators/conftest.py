"""Many logs at once, and what an estimator expects of a world: what a claim about bias needs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envs.targets import function_of
from evaluators.estimation import Estimator, finish, summarise_logs
from evaluators.rows import Floats, RewardRange, Rows
from evaluators.scores import importance


@pytest.fixture(scope="session")
def draw_shared() -> Callable[[Any, np.random.Generator, int], Rows]:
    """Rows of a small world as tables of its contexts, and which one each row met."""

    def draw(world: Any, rng: np.random.Generator, n: int) -> Rows:
        c, k = world.behavior.shape
        context = rng.integers(c, size=n)
        ends = world.behavior.cumsum(axis=1) + np.arange(c)[:, None]
        place = np.searchsorted(ends.reshape(-1), context + rng.random(n), side="right")
        slot = np.clip(place - context * k, 0, k - 1)
        reward = (rng.random(n) < world.mean[context, slot]).astype(np.float64)
        tables = (world.behavior, world.target, world.model)
        return Rows(reward, slot, *tables, reward_range=RewardRange(0.0, 1.0), row=context)

    return draw


@pytest.fixture(scope="session")
def values_of() -> Callable[..., Floats]:
    """(n_logs,) values of an estimator on the logs that stand one after another in `rows`."""

    def values(params: Estimator, rows: Rows, n_logs: int) -> Floats:
        return np.asarray(finish(params, summarise_logs({"one": params}, rows, n_logs=n_logs)["one"]).value)

    return values


@pytest.fixture(scope="session")
def expectation() -> Callable[[Estimator, Any], float]:
    """The exact expectation of an estimator's score, a sum over the contexts and slots of a world."""

    def expected(params: Estimator, world: Any) -> float:
        c = world.behavior.shape[0]
        first = np.zeros(c, dtype=np.int64)
        rows = Rows(np.zeros(c), first, world.behavior, world.target, world.model)
        part, weight, model, *_ = function_of(params, "table")(params, rows, importance(rows.target, rows.behavior))
        residual = world.mean if model is None else world.mean - model
        return float(np.mean(part + (world.behavior * weight * residual).sum(axis=1)))

    return expected
