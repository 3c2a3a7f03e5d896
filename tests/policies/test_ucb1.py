"""UCB1: the paper's index by hand, each action once first, and the regret its theorem allows."""

from typing import Any

import numpy as np
import pytest

from policies.learners import ucb1
from policies.slots import Tally
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, window

POLICY = ucb1.make(SHARED)
HELD = window([True, True, True, False], incumbent=2)


def after(plays: list[tuple[int, float]], params: ucb1.Params) -> Tally:
    """The state after plays (action, reward) of task 0."""
    state = POLICY.init(params)
    for action, reward in plays:
        state = POLICY.update(params, state, decision(HELD), choice(action, action), feedback(reward))
    assert isinstance(state, Tally)
    return state


def chosen(state: Tally, params: ucb1.Params, held: Any = HELD, **known: Any) -> int:
    return int(POLICY.probs(params, state, decision(held, **known), None).argmax())


PLAYS = [(0, 0.9), (0, 0.1), (0, 0.5), (0, 0.5), (1, 0.3), (2, 0.0)]


@pytest.mark.parametrize(
    ("width", "best"),
    [
        (2.0, 1),  # ln 6 = 1.792: 0.5 + sqrt(3.584 / 4) = 1.447, 0.3 + sqrt(3.584) = 2.193, 0 + 1.893
        (0.08, 0),  # 0.5 + sqrt(0.1433 / 4) = 0.689, 0.3 + sqrt(0.1433) = 0.679
        (0.1, 1),  # 0.5 + sqrt(0.1792 / 4) = 0.712, 0.3 + sqrt(0.1792) = 0.723
        (0.0, 0),  # the best mean
    ],
)
def test_the_index_by_hand(width: float, best: int) -> None:
    assert chosen(after(PLAYS, ucb1.Params(width=width)), ucb1.Params(width=width)) == best


def test_every_action_is_played_once_first_the_incumbent_before_all() -> None:
    params, order, state = ucb1.Params(), [], POLICY.init(ucb1.Params())
    held = window([True, True, False, True], incumbent=1)
    for _ in range(3):
        action = chosen(state, params, held)
        order.append(action)
        state = POLICY.update(params, state, decision(held), choice(action, action), feedback(1.0 - action))
    assert order == [1, 0, 3]


def test_plays_of_a_moved_window_count_by_action_not_by_slot() -> None:
    """The same actions one slot further, and a new one first in line."""
    params = ucb1.Params(width=0.0)
    state = after(PLAYS, params)
    assert chosen(state, params, window([True] * 4, ids=[7, 0, 1, 2], incumbent=3)) == 0
    assert chosen(state, params, window([False, True, True, True], ids=[7, 0, 1, 2], incumbent=3)) == 1


def test_task_types_do_not_speak_for_each_other() -> None:
    params = ucb1.Params()
    assert chosen(after(PLAYS, params), params, task=1) == 2  # nothing known there: the incumbent


@pytest.mark.parametrize("low", [-30.0, 0.0, 5.0])
def test_the_unit_and_the_zero_of_rewards_do_not_matter(low: float) -> None:
    params, rng = ucb1.Params(), generator(3)
    one, two = POLICY.init(params), POLICY.init(params)
    for _ in range(60):
        action, reward = chosen(one, params), float(rng.random())
        assert action == chosen(two, params, span=8.0)
        one = POLICY.update(params, one, decision(HELD), choice(action, action), feedback(reward))
        two = POLICY.update(params, two, decision(HELD), choice(action, action), feedback(low + 8.0 * reward))


def test_the_context_is_not_read() -> None:
    params = ucb1.Params()
    state = after(PLAYS, params)
    assert chosen(state, params, features=[5, -5, 9]) == chosen(state, params)


@pytest.mark.slow
def test_regret_stays_within_the_theorem() -> None:
    """Theorem 1: at most 8 sum ln n / gap + (1 + pi^2 / 3) sum gap, in expectation; here 10 runs of 1,000.

    Means 0.2, 0.5, 0.8: the bound is 8 * 6.908 * (1 / 0.6 + 1 / 0.3) + 4.29 * 0.9 = 280; uniform play loses 300.
    Three standard errors are allowed to the mean. And the second half costs less than the first, by three
    standard errors: no linear regret does that.
    """
    gaps, n, params = np.array([0.6, 0.3, 0.0]), 1000, ucb1.Params()
    losses = np.zeros((10, n))
    for run in range(10):
        rng, state = generator(run), POLICY.init(params)
        for t in range(n):
            action = chosen(state, params)
            losses[run, t] = gaps[action]
            reward = float(rng.random() < 0.8 - gaps[action])
            state = POLICY.update(params, state, decision(HELD), choice(action, action), feedback(reward))
    bound = 8 * np.log(n) * (1 / 0.6 + 1 / 0.3) + (1 + np.pi**2 / 3) * 0.9
    lost = losses.sum(axis=1)
    assert lost.mean() < bound - 3 * lost.std(ddof=1) / np.sqrt(10)
    first, second = losses[:, : n // 2].sum(axis=1), losses[:, n // 2 :].sum(axis=1)
    drop = first - second
    assert drop.mean() > 3 * drop.std(ddof=1) / np.sqrt(10)


@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.4])
def test_a_reward_that_is_not_valid_changes_nothing(reward: float) -> None:
    params = ucb1.Params()
    state = after(PLAYS, params)
    for action in (0, 3):
        row = decision(HELD), choice(action, action), feedback(reward, valid=False)
        assert leaves(POLICY.update(params, state, *row)) == leaves(state)
