"""Linear beliefs are ridge regression, and hold nothing but what they were told."""

from typing import Any

import numpy as np
import pytest

from policies.base import Spec
from policies.features import phi
from policies.learners.thompson import Params
from policies.linear import linear_model
from tests.hand import DISJOINT, SHARED, SPECS, choice, decision, feedback, generator, leaves, question, window

PARAMS = Params(prior_mean=0.2, prior_sd=0.7, noise_sd=0.3)
ALL = np.arange(20, dtype=np.int32)
WINDOW = window([True] * 9)


def learned(spec: Spec, n: int, seed: int = 0) -> tuple[Any, list[tuple[np.ndarray, int, int, float]]]:
    """A state after n random evaluations, and these: context, task, action, reward."""
    model, rng = linear_model(spec), generator(seed)
    state, rows = model.init(PARAMS), []
    for _ in range(n):
        x, task, action, y = rng.standard_normal(3), int(rng.integers(2)), int(rng.integers(20)), float(rng.random())
        row = decision(WINDOW, features=x, task=task)
        state = model.update(PARAMS, state, row, choice(0, action), feedback(y))
        rows.append((x, task, action, y))
    return state, rows


def ridge(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance at rows (m, p) of the posterior after data (n, p), (n,), in closed form."""
    covariance = np.linalg.inv(x.T @ x / PARAMS.noise_sd**2 + np.eye(at.shape[1]) / PARAMS.prior_sd**2)
    theta = covariance @ x.T @ (y - PARAMS.prior_mean) / PARAMS.noise_sd**2
    return PARAMS.prior_mean + at @ theta, at @ covariance @ at.T


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [0, 1, 30, 300])
def test_the_shared_posterior_is_ridge_regression(n: int, seed: int) -> None:
    state, rows = learned(SHARED, n, seed)
    context, task = generator(99).standard_normal(3), np.int32(seed % 2)
    f = np.array([phi(SHARED, x, np.int32(j), np.array([a]))[0] for x, j, a, _ in rows]).reshape(n, 23)
    mean, covariance = ridge(f, np.array([row[3] for row in rows]), phi(SHARED, context, task, ALL))
    belief = linear_model(SHARED).belief(PARAMS, state, question(context[None, :], task), ALL)
    assert belief.mean == pytest.approx(mean, abs=1e-9)
    assert belief.sd == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-9)
    assert state.root @ state.root.T == pytest.approx((state.root @ state.root.T).T, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_every_disjoint_posterior_is_ridge_regression_on_its_own_rows(seed: int) -> None:
    state, rows = learned(DISJOINT, 300, seed)
    context = generator(99).standard_normal(3)
    at = np.concatenate([[1.0], context])[None, :]
    for task in (0, 1):
        belief = linear_model(DISJOINT).belief(PARAMS, state, question(context[None, :], np.int32(task)), ALL)
        for action in range(20):
            own = [(np.concatenate([[1.0], x]), y) for x, j, a, y in rows if (j, a) == (task, action)]
            x = np.array([row[0] for row in own]).reshape(len(own), 4)
            mean, covariance = ridge(x, np.array([row[1] for row in own]), at)
            assert belief.mean[action] == pytest.approx(mean[0], abs=1e-9)
            assert belief.sd[action] == pytest.approx(np.sqrt(covariance[0, 0]), abs=1e-9)


def test_the_shared_draws_are_the_posterior_up_to_their_number() -> None:
    """The draws are root @ z with mean-free z: exact mean; z's covariance is the identity within 4/sqrt(n/2)."""
    spec = SHARED._replace(n_draws=4096)
    state, _ = learned(spec, 30)
    context = np.array([[0.5, -1.0, 0.2]])
    belief = linear_model(spec).belief(PARAMS, state, question(context, np.int32(0)), ALL[:6])
    f = phi(spec, context[0], np.int32(0), ALL[:6])
    covariance = f @ state.root @ state.root.T @ f.T
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    centred = belief.draws - belief.mean[:, None]
    assert belief.draws.mean(axis=1) == pytest.approx(belief.mean, abs=1e-12)
    assert np.abs(centred @ centred.T / 4096 - covariance).max() < (4 / np.sqrt(2048)) * scale.max()


def test_the_disjoint_draws_have_exact_mean_and_spread() -> None:
    state, _ = learned(DISJOINT, 30)
    belief = linear_model(DISJOINT).belief(PARAMS, state, question(np.ones((1, 3)), np.int32(1)), ALL)
    assert belief.draws.mean(axis=1) == pytest.approx(belief.mean)
    assert belief.draws.std(axis=1) == pytest.approx(belief.sd)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.3])
def test_invalid_feedback_leaves_the_state_bit_equal(spec: Spec, reward: float) -> None:
    state, _ = learned(spec, 20)
    row = decision(WINDOW, features=[1.0, 2.0, 3.0])
    after = linear_model(spec).update(PARAMS, state, row, choice(0, 3), feedback(reward, valid=False))
    assert leaves(after) == leaves(state)


@pytest.mark.parametrize("spec", SPECS)
def test_an_update_leaves_the_state_it_was_given_alone(spec: Spec) -> None:
    state, _ = learned(spec, 5)
    before = leaves(state)
    linear_model(spec).update(PARAMS, state, decision(WINDOW), choice(0, 3), feedback(0.9))
    assert leaves(state) == before


def test_an_action_never_played_has_the_prior() -> None:
    state, _ = learned(DISJOINT, 0)
    belief = linear_model(DISJOINT).belief(PARAMS, state, question(np.array([[2.0, 1.0, 2.0]]), np.int32(0)), ALL)
    assert belief.mean == pytest.approx(np.full(20, 0.2))
    assert belief.sd == pytest.approx(np.full(20, 0.7 * np.sqrt(10)))  # |(1, 2, 1, 2)|^2 = 10


def test_a_full_table_forgets_the_slot_played_longest_ago_and_never_answers_for_another() -> None:
    """Task 0 plays actions 0..255 of 300, then 0 again, then 256: action 1 is now the oldest and gives way."""
    spec = DISJOINT._replace(shape=(300,), positions=(tuple(np.linspace(0, 1, 300)),), offsets=((0,),), knots=(4,))
    model, row = linear_model(spec), decision(WINDOW)
    state = model.init(PARAMS)
    for action in (*range(256), 0, 256):
        state = model.update(PARAMS, state, row, choice(0, action), feedback(5.0 + action))
    ids, context = np.arange(300, dtype=np.int32), np.zeros((1, 3))
    belief = model.belief(PARAMS, state, question(context, np.int32(0)), ids)
    known = belief.sd < 0.69
    assert np.flatnonzero(~known).tolist() == [1, *range(257, 300)]
    once = 0.49 / (0.49 + 0.09)  # one play moves the mean by this share of the residual
    assert belief.mean[2:257] == pytest.approx(0.2 + once * (5.0 + ids[2:257] - 0.2))
    other = model.belief(PARAMS, state, question(context, np.int32(1)), ids)
    assert other.mean == pytest.approx(np.full(300, 0.2))
    assert other.sd == pytest.approx(np.full(300, 0.7))


@pytest.mark.parametrize("spec", SPECS)
def test_the_belief_over_a_reservoir_is_the_average_over_its_contexts(spec: Spec) -> None:
    state, _ = learned(spec, 60)
    model, contexts = linear_model(spec), generator(5).standard_normal((7, 3))
    whole = model.belief(PARAMS, state, question(contexts, np.int32(1)), ALL)
    each = [model.belief(PARAMS, state, question(context[None, :], np.int32(1)), ALL) for context in contexts]
    assert whole.mean == pytest.approx(np.mean([one.mean for one in each], axis=0), abs=1e-12)
    assert np.all(whole.sd <= np.mean([one.sd for one in each], axis=0) + 1e-12)
    if spec.features == "shared":
        assert whole.draws == pytest.approx(np.mean([one.draws for one in each], axis=0), abs=1e-9)


def test_other_features_are_refused() -> None:
    with pytest.raises(ValueError, match="features = 'both', need 'shared' or 'disjoint'"):
        linear_model(SHARED._replace(features="both"))
