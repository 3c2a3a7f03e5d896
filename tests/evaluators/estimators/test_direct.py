"""The direct method is its model's opinion, and its interval says no more than that."""

import numpy as np
import pytest
from scipy import stats

from evaluators.estimation import estimate
from evaluators.estimators.direct import Params


@pytest.fixture
def rows(world):
    return world.draw(np.random.default_rng(0), 2000)[0]


def test_value_and_interval_are_those_of_the_models_opinions(rows) -> None:
    opinions = (rows.target * rows.predicted).sum(axis=1)
    found = estimate(Params(), rows)
    assert found.value == pytest.approx(opinions.mean(), rel=1e-12)
    wanted = stats.t.interval(0.95, 1999, loc=opinions.mean(), scale=stats.sem(opinions))
    np.testing.assert_allclose((found.lo, found.hi), wanted, rtol=1e-9)


def test_the_rewards_are_not_read(rows) -> None:
    other = rows._replace(reward=1 - rows.reward)
    assert estimate(Params(), other).value == estimate(Params(), rows).value


def test_a_perfect_model_gives_the_truth(world) -> None:
    rows, context = world.draw(np.random.default_rng(1), 2000)
    found = estimate(Params(), rows._replace(predicted=world.mean[context]))
    # context sampling alone: |z| <= 4, false alarm 6e-5
    assert abs(found.value - world.truth()) <= 4 * found.stderr


def test_the_interval_ignores_the_models_error(heavy_world) -> None:
    # the model overrates what the target likes by 0.05, several widths of its own interval
    rows, _ = heavy_world.draw(np.random.default_rng(2), 2000)
    assert estimate(Params(), rows).lo > heavy_world.truth() + 0.02


def test_clusters_are_counted(rows) -> None:
    opinions = (rows.target * rows.predicted).sum(axis=1)
    cluster = np.argsort(np.argsort(opinions)) // 100
    found = estimate(Params(), rows._replace(cluster=cluster))
    assert found.stderr > 5 * estimate(Params(), rows).stderr


def test_rows_without_a_model_are_refused(rows) -> None:
    with pytest.raises(ValueError, match="estimator direct needs rows.predicted"):
        estimate(Params(), rows._replace(predicted=None))
