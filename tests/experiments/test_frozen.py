"""Frozen policies are the tables that the policies' own functions give, and their logs are drawn from them.

Statistical tests fail by chance with probability 1e-6 each if the seed is redrawn.
"""

from itertools import combinations
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import chdtri, ndtri

from envs import traffic
from envs.randomness import Purpose, episode_noise, sizes_of
from experiments import frozen
from experiments.frozen import (
    LOG_ROWS,
    Frozen,
    LogRows,
    design_ess,
    draw_log,
    freeze,
    learn,
    point_mass,
    sharpest,
    start_state,
)
from experiments.ope import value_of
from policies.base import Choice, Decision, Feedback, Window
from policies.build import BoundedPolicy
from policies.constraints import window
from policies.decide import weigh
from policies.learners import proximity
from policies.masses import TOTAL, draw_slot
from policies.softened import Params as Softened
from tests.compiled import LEARNER, log, logger, under_bounds, world

CHANCE = 1e-6
Z = -ndtri(CHANCE / 2)
THOMPSON = under_bounds(LEARNER)
SOFTMAX = under_bounds(Softened(LEARNER))
PURPOSES = tuple(Purpose)


def row_of(tree: Any, i: int) -> Any:
    """One row of arrays with a leading axis."""
    return type(tree)(*(leaf[i] for leaf in tree))


@pytest.fixture(scope="module")
def learned() -> Any:
    """What Thompson sampling knows after 2,000 rows."""
    return learn(THOMPSON, log(), logger(), world())


@pytest.mark.parametrize("who", [under_bounds(proximity.Params()), THOMPSON, SOFTMAX], ids=lambda b: b.name)
def test_a_table_is_what_weigh_gives_in_numpy(who: BoundedPolicy, learned: Any) -> None:
    state = start_state(who) if who.name == "proximity" else learned
    people, table = world().population, freeze("any", who, state, world())
    assert table.masses.dtype == np.int32
    np.testing.assert_array_equal(table.masses.sum(axis=1), TOTAL)
    np.testing.assert_array_equal(table.masses > 0, table.windows.feasible)  # all three have a floor
    for i, task in enumerate(people.task):
        held = window(who.spec, who.params.limits, who.params.start[task], task)
        decision = Decision(people.features[i], task, np.int32(0), np.float64(world().reward_span), np.ones(2), held)
        np.testing.assert_array_equal(table.masses[i], weigh(who.learner, who.params.inner, state, decision))
        for got, wanted in zip(row_of(table.windows, i), held, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_the_logger_is_half_uniform_and_half_a_softmax_of_closeness() -> None:
    here, who = logger(), under_bounds(proximity.Params())
    steps = np.array(who.spec.offsets)
    reach = np.abs(steps).max(axis=0)
    closeness = np.exp(-6.0 * ((steps / np.maximum(reach, 1)) ** 2).sum(axis=1)) * here.windows.feasible
    wanted = 0.5 * here.windows.feasible / here.windows.feasible.sum(axis=1, keepdims=True)
    wanted = wanted + 0.5 * closeness / closeness.sum(axis=1, keepdims=True)
    # The common floor is rounded up first: at most one unit a slot is taken from the others.
    assert np.abs(here.masses - TOTAL * wanted).max() <= who.spec.k


def test_every_row_replays_from_its_integers() -> None:
    here, rows, scenario = logger(), log(), world()
    noise = episode_noise(0, Purpose.LOG, 0, n_rounds=20, sizes=sizes_of(scenario.world), dtype="float64")
    for i in range(20):
        drawn = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], noise)
        index, action = rows.index[i], rows.action_id[i]
        assert rows.uniform[i] == drawn.decision
        context = traffic.draw(scenario.traffic, traffic.start(2), drawn.context, by_mix=True)
        assert (index, rows.task[i]) == (context.index, context.task)
        parts, reward = scenario.world.outcome(scenario.params, np.int32(0), context, action, noise=drawn.outcome)
        np.testing.assert_allclose(row_of(rows.outcome, i), parts, rtol=1e-12)
        np.testing.assert_allclose(rows.reward[i], reward, rtol=1e-12)
    slots = [draw_slot(here.masses[i], u) for i, u in zip(rows.index, rows.uniform, strict=True)]
    np.testing.assert_array_equal(rows.slot, slots)
    np.testing.assert_array_equal(rows.action_id, here.windows.action_ids[rows.index, rows.slot])
    np.testing.assert_array_equal(rows.mass, here.masses[rows.index, rows.slot])
    np.testing.assert_array_equal(rows.task, scenario.population.task[rows.index])


def test_a_log_is_a_function_of_its_three_integers() -> None:
    again = draw_log(world(), logger(), master_seed=0, purpose=Purpose.LOG, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(again, log(), strict=True))


def test_traffic_follows_the_mix_and_is_even_within_a_type() -> None:
    rows, people = log(), world().population
    np.testing.assert_allclose(people.mix, [1 / 3, 2 / 3])
    share, sd = np.mean(rows.task == 0), np.sqrt(1 / 3 * 2 / 3 / LOG_ROWS)
    assert abs(share - 1 / 3) < Z * sd
    for task in (0, 1):
        counts = np.bincount(rows.index[rows.task == task] - 12 * task, minlength=12)
        even = counts.sum() / 12
        assert ((counts - even) ** 2 / even).sum() < chdtri(11, CHANCE)


def test_no_two_purposes_and_no_two_seeds_share_randomness() -> None:
    logs = [log(0, purpose) for purpose in PURPOSES] + [log(1)]
    for a, b in combinations(logs, 2):
        assert np.sum(a.uniform == b.uniform) <= 3  # Poisson of mean 2,000 / 2^20: more has probability 6e-13
        same = (world().population.mix ** 2 / 12).sum()  # chance that two independent rows meet one task
        z = (np.mean(a.index == b.index) - same) / np.sqrt(same * (1 - same) / LOG_ROWS)
        assert abs(z) < Z
        assert abs(np.corrcoef(a.uniform, b.uniform)[0, 1]) < Z / np.sqrt(LOG_ROWS)


def test_the_exact_value_of_a_policy_is_the_mean_of_its_rewards() -> None:
    rewards = np.concatenate([log(seed).reward for seed in range(10)])
    exact = value_of(world(), world().table(), logger())
    assert abs(rewards.mean() - exact) < Z * rewards.std() / np.sqrt(len(rewards))


def test_the_value_of_the_baseline_is_its_mean_over_the_traffic() -> None:
    here, table, people = logger(), world().table(), world().population
    baseline = point_mass("baseline", here, here.windows.incumbent)
    np.testing.assert_array_equal(baseline.masses.max(axis=1), TOTAL)
    home = int(world().baseline[0])
    by_hand = (table[people.task == 0, home].mean() + 2 * table[people.task == 1, home].mean()) / 3
    assert value_of(world(), table, baseline) == pytest.approx(by_hand, abs=1e-12)


def test_design_ess_of_a_hand_computed_pair() -> None:
    nothing = Window(*(np.zeros((2, 2)) for _ in range(4)))
    target = Frozen("t", np.array([[TOTAL, 0], [TOTAL // 2, TOTAL // 2]], np.int32), nothing)
    behavior = Frozen("b", np.full((2, 2), TOTAL // 2, np.int32), nothing)
    # E[w^2] = 0.25 * (1 / 0.5) + 0.75 * (0.5 + 0.5) = 1.25
    assert design_ess(target, behavior, np.array([0.25, 0.75])) == pytest.approx(1 / 1.25)


def by_rows(who: BoundedPolicy, rows: LogRows, behavior: Frozen) -> Any:
    """What a learner knows after a log, one NumPy update after the other."""
    people, state = world().population, start_state(who)
    for i in range(len(rows.index)):
        index = rows.index[i]
        held = row_of(behavior.windows, index)
        decision = Decision(people.features[index], rows.task[i], np.int32(0), np.float64(1.0), np.ones(2), held)
        choice = Choice(rows.slot[i], rows.action_id[i], rows.mass[i])
        state = who.learner.update(who.params.inner, state, decision, choice, Feedback(rows.reward[i], np.bool_(True)))
    return state


def test_learning_from_a_log_is_the_learners_own_update_row_by_row() -> None:
    rows = log().part(0, 300)
    got = learn(THOMPSON, rows, logger(), world())
    for a, b in zip(got, by_rows(THOMPSON, rows, logger()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_padding_leaves_the_state_bit_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = log().part(0, 300)
    padded = learn(THOMPSON, rows, logger(), world())
    monkeypatch.setattr(frozen, "LOG_ROWS", 300)
    bare = learn(THOMPSON, rows, logger(), world())
    for a, b in zip(padded, bare, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("share", [0.2, 0.25, 0.3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_softmax_is_as_sharp_as_the_wanted_support_allows(share: float, seed: int) -> None:
    scenario, behavior = world(), logger()
    state = learn(THOMPSON, log(seed), behavior, scenario)
    found = sharpest(SOFTMAX, state, behavior, scenario, ess_share=share)
    soft = under_bounds(Softened(LEARNER, found))
    ess = design_ess(freeze("soft", soft, state, scenario), behavior, scenario.weights())
    # The search ends on the supported side; it is exact to 0.06 % of sharpness, masses to 2^-20.
    assert share * (1 - 1e-4) <= ess <= share * 1.002


def test_support_that_no_softmax_has_ends_at_the_flattest_one(learned: Any) -> None:
    assert sharpest(SOFTMAX, learned, logger(), world(), ess_share=0.99) == pytest.approx(0.1)
