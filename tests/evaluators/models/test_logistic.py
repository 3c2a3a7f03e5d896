"""Logistic reward models stay in the range and know a logistic reward."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from evaluators.models.logistic import Params, tables
from evaluators.reward_model import Sample, make_folds
from evaluators.rows import RewardRange


def sample(rng, n: int) -> tuple[np.ndarray, Sample, np.ndarray]:
    design = np.concatenate([np.ones((12, 4, 1)), rng.normal(size=(12, 4, 2))], axis=2)
    mean = expit(design @ np.array([-0.5, 1.5, -1.0]))
    row, slot = rng.integers(12, size=n), rng.integers(4, size=n)
    reward = (rng.random(n) < mean[row, slot]).astype(float)
    fold = make_folds(rng, n, n_folds=5)
    return design, Sample(row, slot, reward, fold, reward_range=RewardRange(0.0, 1.0)), mean


def test_a_logistic_reward_is_learnt() -> None:
    design, given, mean = sample(np.random.default_rng(0), 20_000)
    # 16,000 rows: coefficients to about 0.025, four of those times features up to 2.5, times at most 1/4
    np.testing.assert_allclose(tables(Params(1e-3), design, given)[1], mean, atol=0.0625)


def test_another_range_is_the_same_model_on_another_scale() -> None:
    design, given, _ = sample(np.random.default_rng(1), 500)
    moved = given._replace(reward=3 * given.reward - 2, reward_range=RewardRange(-2.0, 1.0))
    np.testing.assert_allclose(tables(Params(), design, moved), 3 * tables(Params(), design, given) - 2, rtol=1e-9)


def test_half_a_reward_is_half_of_each_end() -> None:
    design, given, _ = sample(np.random.default_rng(2), 300)
    both: dict[str, Any] = {name: np.repeat(getattr(given, name), 2) for name in ("row", "slot", "fold")}
    ends = given._replace(**both, reward=np.tile([0.0, 1.0], 300), weight=np.full(600, 0.5))
    middle = given._replace(reward=np.full(300, 0.5))
    np.testing.assert_allclose(tables(Params(), design, middle), tables(Params(), design, ends), atol=1e-9)


def test_a_reward_without_a_range_or_outside_it_is_refused() -> None:
    design, given, _ = sample(np.random.default_rng(3), 100)
    with pytest.raises(ValueError, match="logistic needs sample.reward_range"):
        tables(Params(), design, given._replace(reward_range=None))
    with pytest.raises(ValueError, match="rewards lie in 0..2, need 0..1"):
        tables(Params(), design, given._replace(reward=2 * given.reward))
