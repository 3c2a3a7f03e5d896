"""Conservative LinUCB: the ledger by hand and by closed form, and the promise it keeps where LinUCB does not."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from policies.base import Belief, Policy
from policies.decide import asked_in
from policies.features import phi
from policies.learners import conservative, linucb
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, question, window

POLICY = conservative.make(SHARED)
PARAMS = conservative.Params(prior_mean=0.3, prior_sd=0.5, noise_sd=0.2, width=1.5, allowance=0.2, worst=-0.1)
NINE = window([True] * 9, incumbent=4)


def believed(state: Any, here: Any, params: Any = PARAMS, policy: Policy = POLICY) -> Belief:
    assert policy.belief is not None
    return policy.belief(params, state, asked_in(here), here.window.action_ids)


def test_before_any_data_the_incumbent_is_played_however_bright_the_rest() -> None:
    """Even the incumbent's own fifth is not sure: 0.2 * 0.4 + ... - 1.5 sd of a whole action < 0."""
    state = POLICY.init(PARAMS)
    bright = Belief(np.arange(9.0), np.ones(9), np.zeros((9, 2)))
    assert POLICY.probs(PARAMS, state, decision(NINE), bright).tolist() == np.eye(9)[4].tolist()


def test_an_allowance_of_everything_is_linucb_where_rewards_are_surely_good() -> None:
    """The whole baseline may be lost and rewards count from -100: the ledger never binds."""
    params = conservative.Params(allowance=1.0, worst=-100.0, width=1.0)
    values = Belief(np.array([0.2, 0.6, 0.5, 0.4]), np.array([0.1, 0.1, 0.3, 0.0]), np.zeros((4, 2)))
    here = decision(window([True] * 4))
    probs = POLICY.probs(params, POLICY.init(params), here, values)
    assert probs.tolist() == linucb.make(SHARED).probs(linucb.Params(alpha=1.0), None, here, values).tolist()
    assert probs.argmax() == 2


@pytest.mark.parametrize("seed", range(6))
def test_the_ledger_binds_exactly_where_the_closed_form_says(seed: int) -> None:
    """120 rows with wandering incumbents; the lower bound from the inverted precision and the rows themselves.

    Of everything played, less 0.8 of what its incumbent would have earned, rewards counted from `worst`:
    value = sum w (worst-free mean), linear in theta, so its bound is its mean less 1.5 of its own sd.
    """
    rng, state = generator(seed), POLICY.init(PARAMS)
    features, targets = np.zeros((0, 23)), np.zeros(0)
    booked: dict[int, list[np.ndarray]] = {0: [], 1: []}
    n_ventures = 0
    for _ in range(120):
        task, x = int(rng.integers(2)), rng.standard_normal(3) * 0.3
        held = window(rng.random(9) < 0.8, ids=np.sort(rng.choice(20, 9, replace=False)), incumbent=4)
        held.feasible[4] = True
        here = decision(held, features=x, task=task)
        values = believed(state, here)
        bound = np.where(held.feasible, values.mean + 1.5 * values.sd, -np.inf)
        f = phi(SHARED, x, np.int32(task), held.action_ids)
        total = np.sum([*booked[task], f[bound.argmax()] - 0.8 * f[4]], axis=0)
        covariance = np.linalg.inv(features.T @ features / 0.04 + np.eye(23) / 0.25)
        theta = covariance @ features.T @ (targets - 0.3) / 0.04
        lowest = (len(booked[task]) + 1) * 0.2 * 0.4 + total @ theta - 1.5 * np.sqrt(total @ covariance @ total)
        slot = int(bound.argmax()) if lowest >= 0 else 4
        assert POLICY.probs(PARAMS, state, here, values)[slot] == 1.0
        n_ventures += slot != 4
        played = slot if rng.random() < 0.9 else int(rng.choice(np.flatnonzero(held.feasible)))  # as a floor would
        reward = float(0.4 + 0.3 * f[played, 0] + 0.05 * rng.standard_normal())
        booked[task].append(f[played] - 0.8 * f[4])
        features, targets = np.vstack([features, f[played]]), np.append(targets, reward)
        action = int(held.action_ids[played])
        state = POLICY.update(PARAMS, state, here, choice(played, action), feedback(reward))
    assert 5 < n_ventures < 115  # both branches were put to work
    for task in (0, 1):
        assert state.ledger[task] == pytest.approx(np.sum(booked[task], axis=0), abs=1e-9)
        assert state.booked[task] == len(booked[task])


def test_the_posterior_is_linucbs() -> None:
    rng, policy = generator(2), linucb.make(SHARED)
    same = linucb.Params(prior_mean=0.3, prior_sd=0.5, noise_sd=0.2)
    one, two = POLICY.init(PARAMS), policy.init(same)
    for _ in range(30):
        row = decision(NINE, features=rng.standard_normal(3)), choice(0, int(rng.integers(20))), feedback(rng.random())
        one, two = POLICY.update(PARAMS, one, *row), policy.update(same, two, *row)
    here, asked = decision(NINE, features=rng.standard_normal(3)), question(rng.standard_normal(3))
    for a, b in zip(believed(one, here), believed(two, here, same, policy), strict=True):
        assert np.array_equal(a, b)
    assert POLICY.outlook is not None and policy.outlook is not None
    assert np.array_equal(POLICY.outlook(PARAMS, one, asked), policy.outlook(same, two, asked))


def test_an_incumbent_out_of_reach_is_no_baseline() -> None:
    held = window([True, True, False], incumbent=2)
    values = Belief(np.array([0.2, 0.6, 0.9]), np.ones(3), np.zeros((3, 2)))
    assert POLICY.probs(PARAMS, POLICY.init(PARAMS), decision(held), values).tolist() == [0, 1, 0]


class Run(NamedTuple):
    """True rewards of one run: (n,) of what was played, and of the baseline."""

    earned: np.ndarray
    baseline: np.ndarray


def played(policy: Policy, params: Any, seed: int, n: int = 250) -> Run:
    """One task type, all 20 actions open, coefficients drawn from the prior; rewards in the belief's own noise."""
    rng, held = generator(seed), window([True] * 20, incumbent=9)
    theta, state, earned, baseline = rng.normal(0, 0.15, 23), policy.init(params), [], []
    for _ in range(n):
        here = decision(held, features=rng.standard_normal(3) * 0.3)
        truth = 0.6 + phi(SHARED, here.features, here.task, held.action_ids) @ theta
        slot = int(policy.probs(params, state, here, believed(state, here, params, policy)).argmax())
        reward = feedback(truth[slot] + 0.1 * rng.standard_normal())
        state = policy.update(params, state, here, choice(slot, slot), reward)
        earned.append(truth[slot])
        baseline.append(truth[9])
    return Run(np.array(earned), np.array(baseline))


@pytest.mark.slow
def test_the_promise_is_kept_at_every_moment_and_linucb_breaks_it() -> None:
    """Cumulative reward >= 0.9 of the baseline's, at each of 250 evaluations of 12 worlds.

    Width 4: a given moment's bound fails with probability 3e-5, all 3,000 moments together below 0.1 by the
    union bound (they are almost the same event 250 times over). LinUCB with the same width is the control.
    """
    safe = conservative.Params(width=4.0, allowance=0.1, prior_mean=0.6, prior_sd=0.15, noise_sd=0.1)
    bold = linucb.Params(alpha=4.0, prior_mean=0.6, prior_sd=0.15, noise_sd=0.1)
    broken = {"safe": 0, "bold": 0}
    gained = []
    for seed in range(12):
        for name, run in (("safe", played(POLICY, safe, seed)), ("bold", played(linucb.make(SHARED), bold, seed))):
            broken[name] += bool(np.any(run.earned.cumsum() < 0.9 * run.baseline.cumsum()))
            gained += [(run.earned[-50:] - run.baseline[-50:]).mean()] * (name == "safe")
    assert broken["safe"] == 0 < broken["bold"]
    assert np.mean(gained) > 3 * np.std(gained, ddof=1) / np.sqrt(12)  # it does leave the baseline, for better


@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.4])
def test_a_reward_that_is_not_valid_changes_nothing(reward: float) -> None:
    state = POLICY.update(PARAMS, POLICY.init(PARAMS), decision(NINE), choice(1, 1), feedback(0.5))
    row = decision(NINE, features=[1, 2, 3]), choice(0, 0), feedback(reward, valid=False)
    assert leaves(POLICY.update(PARAMS, state, *row)) == leaves(state)
