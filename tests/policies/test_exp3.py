"""EXP3: the paper's weights by hand, unbiased whatever drew, and its regret bound against an adversary."""

import numpy as np
import pytest

from policies.floored import floored
from policies.learners import exp3
from policies.masses import TOTAL, integer_masses
from policies.slots import Tally, sums
from tests.hand import SHARED, choice, decision, feedback, generator, leaves, window

POLICY = exp3.make(SHARED)
FOUR = window([True] * 4)
PAPER = exp3.Params(floor=0.25, rate=0.25, neutral=0.0)


def logs(state: Tally, n: int = 4, task: int = 0) -> np.ndarray:
    return np.asarray(sums(state, np.int32(task), np.arange(n))[:, 0])


def test_one_play_by_hand() -> None:
    """Reward 0.6 at probability 1/4 counts 2.4; times rate / k = 1/16: 0.15, so weights e^0.15, 1, 1, 1."""
    state = POLICY.update(PAPER, POLICY.init(PAPER), decision(FOUR), choice(0, 0, mass=TOTAL // 4), feedback(0.6))
    assert logs(state) == pytest.approx([0.15, 0, 0, 0], abs=1e-15)
    weights = np.array([np.exp(0.15), 1, 1, 1])
    assert POLICY.probs(PAPER, state, decision(FOUR), None) == pytest.approx(weights / weights.sum())


def test_two_hundred_rounds_are_the_papers_figure() -> None:
    """Theirs: p = (1 - gamma) w / sum w + gamma / k; w_i *= exp(gamma x / (p k)). Both, side by side."""
    gamma, k, weights = 0.25, 4, np.ones(4)
    policy, rng = floored(POLICY), generator(1)
    state = policy.init(PAPER)
    for _ in range(200):
        p = (1 - gamma) * weights / weights.sum() + gamma / k
        probs = policy.probs(PAPER, state, decision(FOUR), None)
        assert probs == pytest.approx(p, abs=1e-12)
        masses = integer_masses(probs, FOUR.feasible)
        i, x = int(rng.choice(4, p=masses / TOTAL)), float(rng.random())
        state = policy.update(PAPER, state, decision(FOUR), choice(i, i, mass=int(masses[i])), feedback(x))
        weights[i] *= np.exp(gamma * x / (masses[i] / TOTAL * k))
        assert logs(state) == pytest.approx(np.log(weights), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_of_every_action_is_unbiased(seed: int) -> None:
    """Each play's change, weighted by the masses that drew it: rate / k (x - neutral) / span for every action."""
    rng, params = generator(seed), exp3.Params(rate=0.7, neutral=0.3)
    held, rewards = window([True, False, True, True, True]), rng.normal(0.5, 1.0, 5)
    state = POLICY.init(params)
    masses = integer_masses(rng.random(5) * held.feasible, held.feasible)
    expected = np.zeros(5)
    for a in np.flatnonzero(held.feasible).tolist():
        row = decision(held, span=2.0), choice(a, a, mass=int(masses[a])), feedback(rewards[a])
        expected += masses[a] / TOTAL * logs(POLICY.update(params, state, *row), 5)
    assert expected == pytest.approx(held.feasible * 0.7 / 4 * (rewards - 0.3) / 2.0, abs=1e-12)


def test_weights_stay_with_their_action_when_the_window_moves() -> None:
    """Action 2 keeps what it earned in another slot; 7 and 9, never played, count as the neutral reward."""
    params = exp3.Params(neutral=0.2)
    state = POLICY.init(params)
    for action, reward in ((2, 1.0), (0, 0.0)):
        row = decision(FOUR), choice(action, action, mass=TOTAL // 4), feedback(reward)
        state = POLICY.update(params, state, *row)
    moved = POLICY.probs(params, state, decision(window([True] * 3, ids=[7, 2, 9])), None)
    weights = np.exp([0.0, 0.8, 0.0])  # (1 - 0.2) * 4 / 4
    assert moved == pytest.approx(weights / weights.sum())
    neutral = POLICY.update(params, state, decision(FOUR), choice(1, 1, mass=TOTAL // 4), feedback(0.2))
    assert logs(neutral)[1] == 0.0


def test_a_weight_beyond_all_exponents_is_no_overflow() -> None:
    params = exp3.Params(rate=100.0)
    state = POLICY.update(params, POLICY.init(params), decision(FOUR), choice(1, 1, mass=1), feedback(1.0))
    assert POLICY.probs(params, state, decision(FOUR), None).tolist() == [0, 1, 0, 0]
    without = window([True, False, True, True])
    assert POLICY.probs(params, state, decision(without), None) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


@pytest.mark.slow
def test_an_adversary_gets_no_more_than_the_theorem() -> None:
    """Theorem 3.1: best - earned <= (e - 1) gamma best + k ln k / gamma, in expectation, for any rewards.

    The best action changes in the middle; gamma 0.1, 1,000 rounds, 10 runs: the bound is 0.172 * best + 55.
    Three standard errors are allowed to the mean.
    """
    n, params, policy = 1000, exp3.Params(floor=0.1, rate=0.1, neutral=0.0), floored(POLICY)
    table = np.zeros((n, 4))
    table[: n // 2, 0], table[n // 2 :, 1], table[:, 2] = 0.9, 0.9, 0.6
    lost = []
    for run in range(10):
        rng, state, earned = generator(run), policy.init(params), 0.0
        for x in table:
            masses = integer_masses(policy.probs(params, state, decision(FOUR), None), FOUR.feasible)
            i = int(np.searchsorted(np.cumsum(masses), rng.integers(TOTAL), side="right"))
            earned += x[i]
            state = policy.update(params, state, decision(FOUR), choice(i, i, mass=int(masses[i])), feedback(x[i]))
        lost.append(table.sum(axis=0).max() - earned)
    best = table.sum(axis=0).max()
    bound = (np.e - 1) * 0.1 * best + 4 * np.log(4) / 0.1
    assert np.mean(lost) < bound - 3 * np.std(lost, ddof=1) / np.sqrt(10)
    uniform = best - table.mean(axis=1).sum()
    assert np.mean(lost) < uniform - 3 * np.std(lost, ddof=1) / np.sqrt(10)


def test_the_order_of_rows_drawn_by_the_same_masses_does_not_matter() -> None:
    rows = [(decision(FOUR), choice(a, a, mass=TOTAL // 4), feedback(a / 4)) for a in (0, 3, 3, 1)]
    one, two = POLICY.init(PAPER), POLICY.init(PAPER)
    for there, back in zip(rows, rows[::-1], strict=True):
        one, two = POLICY.update(PAPER, one, *there), POLICY.update(PAPER, two, *back)
    assert logs(one) == pytest.approx(logs(two), abs=1e-15)


@pytest.mark.parametrize("reward", [np.nan, np.inf, 0.4])
def test_a_reward_that_is_not_valid_changes_nothing(reward: float) -> None:
    state = POLICY.update(PAPER, POLICY.init(PAPER), decision(FOUR), choice(0, 0, mass=TOTAL // 4), feedback(0.6))
    for action in (0, 3):
        row = decision(FOUR), choice(action, action), feedback(reward, valid=False)
        assert leaves(POLICY.update(PAPER, state, *row)) == leaves(state)
