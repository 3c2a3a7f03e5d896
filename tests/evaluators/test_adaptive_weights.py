"""Weights of an adaptive log: the published recursion, what they may look at, and their limits."""

import numpy as np
import pytest

from evaluators.adaptive_weights import (
    effective_propensity,
    kish,
    lagged_mean,
    second_moment,
    two_point,
    weights,
)


def by_recursion(propensity, decay=0.7):
    """The textbook loop, one log."""
    n_rounds, left, found = len(propensity), 1.0, []
    for t, e in enumerate(propensity, start=1):
        starved = (1 - decay) / ((1 - decay) + n_rounds * (t / n_rounds) ** decay - t)
        rate = (1 - e) * starved + e / (1 + n_rounds - t)
        rate = min(max(rate, 0.0), 1.0)
        found.append(np.sqrt(left * rate * e))
        left *= 1 - rate
    return np.array(found)


def test_two_point_weights_are_the_published_recursion() -> None:
    rng = np.random.default_rng(0)
    propensity = rng.uniform(0.001, 1, size=(3, 2, 400)) * np.arange(1, 401) ** -0.3
    found = two_point(propensity)
    for log in np.ndindex(3, 2):
        np.testing.assert_allclose(found[log], by_recursion(propensity[log]), rtol=1e-9)


def test_the_whole_variance_is_spent_by_the_last_round() -> None:
    # sum h^2 / e = sum of lambda_t prod (1 - lambda_s) = 1, as the last rate is 1
    propensity = np.random.default_rng(1).uniform(0.01, 1, size=(5, 1000))
    np.testing.assert_allclose((two_point(propensity) ** 2 / propensity).sum(axis=1), 1.0, rtol=1e-12)


def test_a_logger_that_explores_evenly_weighs_all_rounds_alike() -> None:
    # e = 1: rate 1 / (T - t + 1), so every round gets 1 / T
    np.testing.assert_allclose(two_point(np.ones(7)) ** 2, 1 / 7)


@pytest.mark.parametrize("kind", ["two_point", "constant", "equal"])
def test_a_weight_does_not_depend_on_later_rounds(kind) -> None:
    rng = np.random.default_rng(2)
    moment = 1 / rng.uniform(0.01, 1, size=300)
    later = moment.copy()
    later[200:] = 50.0
    before, after = (weights(effective_propensity(one, window=20), kind) for one in (moment, later))
    # row 200 itself is judged by the rows before it
    assert np.array_equal(before[:201], after[:201])


def test_a_lagged_mean_is_the_mean_of_what_came_before() -> None:
    values = np.random.default_rng(3).normal(size=(2, 50))
    found = lagged_mean(values, 7)
    for t in range(1, 50):
        np.testing.assert_allclose(found[:, t], values[:, max(t - 7, 0) : t].mean(axis=1), atol=1e-12)
    assert np.array_equal(found[:, 0], values[:, 0])


def test_the_second_moment_is_that_of_the_weight() -> None:
    rng = np.random.default_rng(4)
    behavior, target = (rng.dirichlet(np.ones(4), size=6) for _ in range(2))
    found = second_moment(behavior, target)
    np.testing.assert_allclose(found, (behavior * (target / behavior) ** 2).sum(axis=1), rtol=1e-12)
    assert (found >= 1 - 1e-12).all()


def test_slots_without_support_add_nothing() -> None:
    found = second_moment(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.0, 0.5]]))
    assert found.tolist() == [0.5]
    assert effective_propensity(found, window=0).tolist() == [1.0]


def test_one_action_s_effective_propensity_is_its_propensity() -> None:
    behavior = np.random.default_rng(5).dirichlet(np.ones(3), size=10)
    target = np.broadcast_to(np.eye(3)[1], (10, 3))
    found = effective_propensity(second_moment(behavior, target), window=0)
    np.testing.assert_allclose(found, behavior[:, 1], rtol=1e-12)


def test_the_kish_number_ignores_scale_and_survives_tiny_sizes() -> None:
    size = np.array([[1.0, 2.0, 3.0], [1e-200, 2e-200, 3e-200], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(kish(size), [36 / 14, 36 / 14, 0.0])


def test_an_unknown_allocation_is_refused() -> None:
    with pytest.raises(ValueError, match="allocation = 'best', need one of two_point, constant, equal"):
        weights(np.ones(3), "best")
