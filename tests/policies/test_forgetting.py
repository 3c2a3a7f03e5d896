"""Beliefs that forget are ridge regressions: of discounted rows, and of the last rows."""

from typing import Any

import numpy as np
import pytest

from policies.features import phi
from policies.forgetting import RING, DiscountParams, Forgetful, SlidingParams, discounted_model, sliding_model
from policies.linear import LinearParams, linear_model
from tests.hand import DISJOINT, SHARED, choice, decision, feedback, generator, leaves, question, window

BASE: dict[str, Any] = {"prior_mean": 0.2, "prior_sd": 0.7, "noise_sd": 0.3}
ALL = np.arange(20, dtype=np.int32)
HELD = window([True] * 9)
P = 23
Rows = list[tuple[np.ndarray, int, int, float]]
BOTH = [
    pytest.param(discounted_model(SHARED), DiscountParams(**BASE, discount=0.95), id="discounted"),
    pytest.param(sliding_model(SHARED), SlidingParams(**BASE, memory=20), id="sliding"),
]


def random_rows(n: int, seed: int = 0) -> Rows:
    rng = generator(seed)
    return [
        (rng.standard_normal(3), int(rng.integers(2)), int(rng.integers(20)), float(rng.random())) for _ in range(n)
    ]


def told(model: Forgetful, params: Any, rows: Rows) -> Any:
    state = model.init(params)
    for x, task, action, y in rows:
        state = model.update(params, state, decision(HELD, features=x, task=task), choice(0, action), feedback(y))
    return state


def solved(rows: Rows, weights: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Theta and covariance of weighted rows under a diagonal prior precision."""
    x = np.array([phi(SHARED, x, np.int32(j), np.array([a]))[0] for x, j, a, _ in rows]).reshape(len(rows), P)
    covariance = np.linalg.inv(x.T @ (weights[:, None] * x) / 0.09 + np.diag(prior))
    return covariance @ x.T @ (weights * (np.array([row[3] for row in rows]) - 0.2)) / 0.09, covariance


@pytest.mark.parametrize("discount", [0.8, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("n", [0, 1, 60, 500])
def test_the_discounted_posterior_is_ridge_regression_with_weights(n: int, discount: float) -> None:
    """A row of age a weighs discount^a; round t gives coordinate t mod p its prior, p times what a round takes."""
    params, rows = DiscountParams(**BASE, discount=discount), random_rows(n, 3)
    prior = np.full(P, 1 / 0.49)
    for t in range(n):
        prior = discount * prior + np.eye(P)[t % P] * P * (1 - discount) / 0.49
    theta, covariance = solved(rows, discount ** np.arange(n)[::-1], prior)
    state = told(discounted_model(SHARED), params, rows)
    assert state.theta == pytest.approx(theta, abs=1e-9)
    assert state.root @ state.root.T == pytest.approx(covariance, abs=1e-9)
    assert state.clock == n


@pytest.mark.parametrize("discount", [0.9, 0.99])
def test_a_coordinates_prior_stays_within_the_stated_bounds(discount: float) -> None:
    """The same row for ever: what it does not touch keeps a prior precision around its first."""
    params = DiscountParams(**BASE, discount=discount)
    rows = [(np.zeros(3), 0, 0, 0.5)] * 3000
    state = told(discounted_model(SHARED), params, rows)
    untouched = 1 / np.diag(state.root @ state.root.T)[1:] * 0.49  # phi of action 0 is the intercept, and crossings
    top = P * (1 - discount) / (1 - discount**P)
    loose = np.flatnonzero(phi(SHARED, np.zeros(3), np.int32(0), ALL[:1])[0][1:] == 0)
    assert np.all(untouched[loose] <= top * (1 + 1e-9))
    assert np.all(untouched[loose] >= top * discount**P * (1 - 1e-9))


def test_no_discount_is_the_plain_posterior() -> None:
    rows, params = random_rows(200, 5), DiscountParams(**BASE, discount=1.0)
    model = linear_model(SHARED)
    state: Any = model.init(LinearParams(**BASE))
    for x, task, action, y in rows:
        row = decision(HELD, features=x, task=task)
        state = model.update(LinearParams(**BASE), state, row, choice(0, action), feedback(y))
    told_state = told(discounted_model(SHARED), params, rows)
    assert told_state.theta == pytest.approx(state.theta, abs=1e-10)


@pytest.mark.parametrize("memory", [1, 7, 100, RING])
@pytest.mark.parametrize("n", [0, 5, 300, 1000])
def test_the_sliding_posterior_is_ridge_regression_on_the_last_rows(memory: int, n: int) -> None:
    params, rows = SlidingParams(**BASE, memory=memory), random_rows(n, 7)
    last = rows[max(n - memory, 0) :]
    theta, covariance = solved(last, np.ones(len(last)), np.full(P, 1 / 0.49))
    state = told(sliding_model(SHARED), params, rows)
    assert state.theta == pytest.approx(theta, abs=1e-9)
    assert state.root @ state.root.T == pytest.approx(covariance, abs=1e-9)


def test_rounding_errors_do_not_outlive_the_window() -> None:
    """A posterior spoilt on purpose in round 100 is exact again once the fresh one has taken over, twice 50 later."""
    params, rows, model = SlidingParams(**BASE, memory=50), random_rows(205, 9), sliding_model(SHARED)
    spoilt = told(model, params, rows[:100])
    spoilt = spoilt._replace(theta=spoilt.theta + 1e-3, root=spoilt.root * 1.001)
    for x, task, action, y in rows[100:]:
        spoilt = model.update(params, spoilt, decision(HELD, features=x, task=task), choice(0, action), feedback(y))
    clean = told(model, params, rows)
    assert np.array_equal(spoilt.theta, clean.theta) and np.array_equal(spoilt.root, clean.root)


@pytest.mark.slow
def test_eight_thousand_rounds_of_one_action_lose_no_digits() -> None:
    """Steps back at their worst: always the same row, noise 0.01, far from the prior's scale."""
    params = SlidingParams(prior_mean=0.2, prior_sd=0.7, noise_sd=0.01, memory=37)
    rows = [(np.ones(3), 1, 13, 0.4 + 0.1 * (t % 2)) for t in range(8_011)]
    state = told(sliding_model(SHARED), params, rows)
    x = phi(SHARED, np.ones(3), np.int32(1), np.array([13]))
    precision = 37 * x.T @ x / 1e-4 + np.eye(P) / 0.49
    theta = np.linalg.solve(precision, x[0] * sum(row[3] - 0.2 for row in rows[-37:]) / 1e-4)
    assert state.theta == pytest.approx(theta, abs=1e-9)
    assert state.root @ state.root.T == pytest.approx(np.linalg.inv(precision), abs=1e-9)


def test_the_order_of_the_rows_in_memory_does_not_matter() -> None:
    rows, params = random_rows(100, 11), SlidingParams(**BASE, memory=40)
    one, two = (told(sliding_model(SHARED), params, r) for r in (rows, rows[:60] + rows[:59:-1]))
    assert one.theta == pytest.approx(two.theta, abs=1e-9)
    assert one.root @ one.root.T == pytest.approx(two.root @ two.root.T, abs=1e-9)


@pytest.mark.parametrize(("model", "params"), BOTH)
def test_the_belief_is_that_of_its_gaussian_and_the_outlook_is_its_mean(model: Forgetful, params: Any) -> None:
    state, asked = told(model, params, random_rows(60)), question(generator(5).standard_normal((4, 3)), 1)
    belief = model.belief(params, state, asked, ALL)
    at = np.mean([phi(SHARED, x, np.int32(1), ALL) for x in asked.contexts], axis=0)
    assert belief.mean == pytest.approx(0.2 + at @ state.theta, abs=1e-12)
    assert belief.sd == pytest.approx(np.sqrt(((at @ state.root) ** 2).sum(axis=1)), abs=1e-12)
    assert belief.draws.mean(axis=1) == pytest.approx(belief.mean, abs=1e-12)
    assert model.outlook(params, state, asked) == pytest.approx(belief.mean, abs=1e-12)


@pytest.mark.parametrize(("model", "params"), BOTH)
@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.3])
def test_invalid_feedback_leaves_the_state_bit_equal(model: Forgetful, params: Any, reward: float) -> None:
    state = told(model, params, random_rows(30))
    row = decision(HELD, features=[1.0, 2.0, 3.0])
    after = model.update(params, state, row, choice(0, 3), feedback(reward, valid=False))
    assert leaves(after) == leaves(state)


@pytest.mark.parametrize(("model", "params"), BOTH)
def test_an_update_leaves_the_state_it_was_given_alone(model: Forgetful, params: Any) -> None:
    state = told(model, params, random_rows(30))
    before = leaves(state)
    model.update(params, state, decision(HELD), choice(0, 3), feedback(0.9))
    assert leaves(state) == before


@pytest.mark.parametrize("make", [discounted_model, sliding_model])
def test_disjoint_features_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="need 'shared'"):
        make(DISJOINT)
