"""MRDR: the linear model that leaves the doubly robust estimate the least variance."""

from typing import Any

import numpy as np
import pytest

from evaluators.estimation import estimate
from evaluators.estimators import doubly_robust
from evaluators.intervals import t
from evaluators.models.mrdr import Params, tables
from evaluators.reward_model import Params as RidgeParams
from evaluators.reward_model import Sample, fit_tables, make_folds, with_model
from evaluators.rows import RewardRange, Rows

DR = doubly_robust.Params(interval=t.Params())


def features(seed: int = 0) -> np.ndarray:
    """(8, 5, 4): too few for the world's 40 means."""
    rng = np.random.default_rng(seed)
    return np.concatenate([np.ones((8, 5, 1)), rng.normal(size=(8, 5, 3))], axis=2)


def variance(world, predicted: np.ndarray) -> float:
    """Exact variance of one doubly robust score, given its context, averaged over contexts."""
    weight, error = world.target / world.behavior, world.mean - predicted
    noise = world.mean * (1 - world.mean)
    second = (world.behavior * weight**2 * (noise + error**2)).sum(axis=1)
    return float((second - (world.target * error).sum(axis=1) ** 2).mean())


def least(world, design: np.ndarray) -> np.ndarray:
    """The linear predictions of least variance, by the quadratic form straight from the paper."""
    p = design.shape[2]
    left, right = np.zeros((p, p)), np.zeros(p)
    for x in range(8):
        d = np.diag(world.target[x])
        form = d @ (np.diag(1 / world.behavior[x]) - np.ones((5, 5))) @ d
        left += design[x].T @ form @ design[x]
        right += design[x].T @ form @ world.mean[x]
    return np.asarray(design @ np.linalg.solve(left, right))


def draw(world, rng, n: int) -> tuple[Rows, Sample]:
    drawn, context = world.draw(rng, n)
    fold = make_folds(rng, n, n_folds=5)
    rows = drawn._replace(behavior=world.behavior, target=world.target, predicted=None, row=context)
    policies = (world.behavior, world.target, RewardRange(0.0, 1.0))
    return rows, Sample(context, drawn.slot, drawn.reward, fold, None, *policies)


def test_the_fit_approaches_the_linear_model_of_least_variance(world) -> None:
    design = features()
    _, given = draw(world, np.random.default_rng(1), 400_000)
    best = least(world, design)
    for predicted in tables(Params(), design, given):
        # 320,000 rows and weights below 10: predictions within 0.02, the variance flat around its minimum
        np.testing.assert_allclose(predicted, best, atol=0.02)
        assert variance(world, best) <= variance(world, predicted) <= variance(world, best) * 1.001
    by_ridge = fit_tables(RidgeParams(), design, given)[0]
    assert variance(world, by_ridge) > variance(world, best) * 1.01


def test_doubly_robust_on_it_is_unbiased_and_varies_less_than_on_ridge(world) -> None:
    # |z| <= 4: false alarm 6e-5; 600 logs of 400 rows, the same for both models
    design, rng, values = features(), np.random.default_rng(2), []
    for _ in range(600):
        rows, given = draw(world, rng, 400)
        models = (RidgeParams(), Params())
        values.append(
            [estimate(DR, with_model(rows, fit_tables(one, design, given), given.fold)).value for one in models]
        )
    by_ridge, found = np.transpose(values)
    assert abs(found.mean() - world.truth()) <= 4 * found.std(ddof=1) / np.sqrt(600)
    excess = (found - world.truth()) ** 2 - (by_ridge - world.truth()) ** 2
    assert excess.mean() < -2 * excess.std(ddof=1) / np.sqrt(600)


def test_a_linear_reward_without_noise_is_found(world) -> None:
    design = features(3)
    _, given = draw(world, np.random.default_rng(4), 2000)
    truth = 0.5 + 0.1 * design[..., 1] - 0.05 * design[..., 3]
    exact = given._replace(reward=truth[given.row, given.slot])
    np.testing.assert_allclose(tables(Params(1e-6, 1e-6), design, exact)[2], truth, atol=1e-6)


def test_a_weight_counts_a_row_so_often(world) -> None:
    _, given = draw(world, np.random.default_rng(5), 500)
    times = np.random.default_rng(6).integers(0, 3, size=500)
    repeated: dict[str, Any] = {
        name: np.repeat(getattr(given, name), times) for name in ("row", "slot", "reward", "fold")
    }
    often = given._replace(**repeated)
    once = tables(Params(), features(), given._replace(weight=times.astype(float)))
    np.testing.assert_allclose(once, tables(Params(), features(), often), rtol=1e-8)


def test_a_sample_without_policies_is_refused(world) -> None:
    _, given = draw(world, np.random.default_rng(7), 100)
    with pytest.raises(ValueError, match="mrdr needs sample.behavior and sample.target"):
        tables(Params(), features(), given._replace(target=None))
