"""Hybrid LinUCB is the joint ridge regression over shared coefficients and every action's offset."""

from typing import Any

import numpy as np
import pytest

from policies.base import Belief, Spec
from policies.features import phi
from policies.learners import hybrid_linucb, linucb
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, question, window

PARAMS = hybrid_linucb.Params(prior_mean=0.2, prior_sd=0.7, noise_sd=0.3, offset_sd=0.4)
ALL = np.arange(20, dtype=np.int32)
HELD = window([True] * 9)
Row = tuple[np.ndarray, int, int, float]  # context, task, action, reward


def drawn(n: int, seed: int = 0) -> list[Row]:
    rng = generator(seed)
    some = [
        (rng.standard_normal(3), int(rng.integers(2)), int(rng.integers(20)), float(rng.random())) for _ in range(n)
    ]
    return some


def learned(rows: list[Row], params: hybrid_linucb.Params = PARAMS, spec: Spec = SHARED) -> Any:
    policy = hybrid_linucb.make(spec)
    state = policy.init(params)
    for x, task, action, y in rows:
        here = decision(HELD, features=x, task=task)
        state = policy.update(params, state, here, choice(0, action), feedback(y))
    return state


def design(x: np.ndarray, task: int, action: int) -> np.ndarray:
    """(23 + 40) phi, and a one for the offset of this task type's action."""
    return np.concatenate([phi(SHARED, x, np.int32(task), np.array([action]))[0], np.eye(40)[task * 20 + action]])


def ridge(rows: list[Row], context: np.ndarray, task: int) -> tuple[np.ndarray, np.ndarray]:
    """(20,) means and (20, 20) covariance of all actions by inverting the joint precision of all 63 coefficients."""
    x = np.array([design(*row[:3]) for row in rows]).reshape(len(rows), 63)
    y = np.array([row[3] for row in rows])
    prior = np.concatenate([np.full(23, PARAMS.prior_sd**-2), np.full(40, PARAMS.offset_sd**-2)])
    covariance = np.linalg.inv(x.T @ x / PARAMS.noise_sd**2 + np.diag(prior))
    at = np.array([design(context, task, action) for action in range(20)])
    theta = covariance @ x.T @ (y - PARAMS.prior_mean) / PARAMS.noise_sd**2
    return PARAMS.prior_mean + at @ theta, at @ covariance @ at.T


def belief(state: Any, context: np.ndarray, task: int, spec: Spec = SHARED, ids: Any = ALL) -> Belief:
    ask = hybrid_linucb.make(spec).belief
    assert ask is not None
    return ask(PARAMS, state, question(context, task), ids)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [0, 1, 2, 30, 400])
def test_the_posterior_is_the_joint_ridge_regression(n: int, seed: int) -> None:
    rows, context = drawn(n, seed), generator(99).standard_normal(3)
    mean, covariance = ridge(rows, context, seed % 2)
    found = belief(learned(rows), context, seed % 2)
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.sd == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-9)


def test_the_draws_have_the_joint_covariance() -> None:
    """4,096 antithetic draws: exact mean; every entry within 4 / sqrt(2048) of the largest variance."""
    rows, context = drawn(60), np.array([0.5, -1.0, 0.2])
    found = belief(learned(rows), context, 1, SHARED._replace(n_draws=4096))
    _, covariance = ridge(rows, context, 1)
    centred = found.draws - found.mean[:, None]
    assert found.draws.mean(axis=1) == pytest.approx(found.mean, abs=1e-12)
    assert np.abs(centred @ centred.T / 4096 - covariance).max() < 4 / np.sqrt(2048) * np.diag(covariance).max()


def test_the_order_of_rows_does_not_matter() -> None:
    rows, context = drawn(200), np.array([0.1, 0.2, -0.3])
    one, two = belief(learned(rows), context, 0), belief(learned(rows[::-1]), context, 0)
    assert one.mean == pytest.approx(two.mean, abs=1e-9)
    assert one.sd == pytest.approx(two.sd, abs=1e-9)


def test_an_offset_stays_with_its_action_while_phi_speaks_for_all() -> None:
    """One action pays 0.5 more than its neighbours: its own mean follows, theirs stay with the curve."""
    rows = [(np.zeros(3), 0, action, 0.3 + 0.5 * (action == 9)) for action in range(20) for _ in range(40)]
    mean = belief(learned(rows), np.zeros(3), 0).mean
    assert mean[9] == pytest.approx(0.8, abs=0.05)
    assert np.abs(np.delete(mean, 9) - 0.3).max() < 0.05


def test_without_offsets_it_is_linucb() -> None:
    """Offsets of sd 1e-7 move means and widths by less than 1e-6."""
    rows, context = drawn(50), np.array([0.3, 1.0, -1.0])
    params = hybrid_linucb.Params(offset_sd=1e-7)
    policy, plain = hybrid_linucb.make(SHARED), linucb.make(SHARED)
    one, two = policy.init(params), plain.init(linucb.Params())
    for x, task, action, y in rows:
        row = decision(HELD, features=x, task=task), choice(0, action), feedback(y)
        one, two = policy.update(params, one, *row), plain.update(linucb.Params(), two, *row)
    assert policy.belief is not None and plain.belief is not None
    mine = policy.belief(params, one, question(context), ALL)
    theirs = plain.belief(linucb.Params(), two, question(context), ALL)
    assert mine.mean == pytest.approx(theirs.mean, abs=1e-6)
    assert mine.sd == pytest.approx(theirs.sd, abs=1e-6)


@pytest.mark.parametrize(("alpha", "chosen"), [(0.999, 1), (1.001, 2)])
def test_the_width_is_alpha_standard_deviations(alpha: float, chosen: int) -> None:
    """0.6 + 0.1 alpha against 0.5 + 0.2 alpha: equal at alpha = 1."""
    held = window([True, True, True, False])
    values = Belief(np.array([0.2, 0.6, 0.5, 0.9]), np.array([0.1, 0.1, 0.2, 9.0]), np.zeros((4, 2)))
    probs = hybrid_linucb.make(SHARED).probs(hybrid_linucb.Params(alpha=alpha), None, decision(held), values)
    assert probs.tolist() == np.eye(4)[chosen].tolist()


def test_the_outlook_is_the_mean_of_every_action() -> None:
    state, outlook = learned(drawn(120)), hybrid_linucb.make(SHARED).outlook
    assert outlook is not None
    for task in (0, 1):
        context = generator(task).standard_normal((4, 3))
        asked = question(context, task)
        assert outlook(PARAMS, state, asked) == pytest.approx(belief(state, context, task).mean, abs=1e-12)


def test_an_action_that_lost_its_slot_has_taught_the_rest_and_starts_anew() -> None:
    """300 actions of one axis; 0 .. 255 played, then 256: action 0 is out.

    Its width is an unplayed action's, and the shared part is that of the joint regression over all 257 rows.
    """
    place = tuple(np.linspace(0, 1, 300))
    spec = SHARED._replace(shape=(300,), positions=(place,), offsets=((0,),), knots=(4,))
    rng = generator(7)
    rows: list[Row] = [(np.zeros(3), 0, action, float(rng.random())) for action in range(257)]
    state = learned(rows, spec=spec)
    assert 0 not in state.key and state.plays.sum() == 256
    f = np.array([phi(spec, x, np.int32(task), np.array([action]))[0] for x, task, action, _ in rows])
    noise = PARAMS.noise_sd**2 + PARAMS.offset_sd**2  # each action once: an offset is one more noise
    covariance = np.linalg.inv(f.T @ f / noise + np.eye(f.shape[1]) / PARAMS.prior_sd**2)
    theta = covariance @ f.T @ (np.array([row[3] for row in rows]) - PARAMS.prior_mean) / noise
    assert state.theta == pytest.approx(theta, abs=1e-9)
    at = f[0]
    found = belief(state, np.zeros(3), 0, spec, np.array([0, 299], np.int32))
    assert found.mean[0] == pytest.approx(PARAMS.prior_mean + at @ theta, abs=1e-9)
    assert found.sd[0] == pytest.approx(np.sqrt(at @ covariance @ at + PARAMS.offset_sd**2), abs=1e-9)


@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.4])
@pytest.mark.parametrize("n", [0, 20])
def test_a_reward_that_is_not_valid_changes_nothing(n: int, reward: float) -> None:
    state, policy = learned(drawn(n)), hybrid_linucb.make(SHARED)
    row = decision(HELD, features=[1, 2, 3]), choice(0, 3), feedback(reward, valid=False)
    assert leaves(policy.update(PARAMS, state, *row)) == leaves(state)
