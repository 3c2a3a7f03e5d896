"""Peers on worlds: the compiled runs' noise, legal actions only, recommendations before each evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from envs.feedback import Params as FeedbackParams
from envs.oracle import type_values
from envs.randomness import Purpose
from envs.targets import ConfigError
from envs.world import Noise, Outcome, Scenario
from experiments.peers.optimisers import PEERS, missing
from experiments.peers.search import N_SEEDS, Found, noise_of, play, search
from experiments.simulate import Plan, Trajectory, simulate
from policies import constraints
from policies.learners import uniform
from tests import compiled

PRESENT = [name for name in PEERS if not missing(name)]
PLAN = Plan(0, Purpose.TRAIN, (0, 1), compiled.N_ROUNDS)
every_peer = pytest.mark.parametrize("name", PRESENT)


class Scripted:
    """Tries given actions and keeps what they bring."""

    def __init__(self, actions: Sequence[int]) -> None:
        self.actions = actions
        self.rewards: list[float] = []

    def standing(self) -> tuple[int, int]:
        return 0, 0

    def ask(self) -> int:
        return self.actions[len(self.rewards)]

    def tell(self, reward: float) -> None:
        self.rewards.append(reward)


def limits(world: Scenario) -> constraints.Bounds:
    return constraints.bounds(world.lattice, compiled.LIMITS, recorded=world.recorded)


@cache
def found(name: str) -> Found:
    return search(name, compiled.world(), PLAN, limits=limits(compiled.world()))


@cache
def compiled_run() -> Trajectory:
    """Two seeds of the uniform policy, compiled."""
    bounded = compiled.under_bounds(uniform.Params(), rule="two_sample")
    _, _, rows = next(iter(simulate([compiled.world()], [bounded], PLAN)))
    return rows


@cache
def bowl() -> Scenario:
    """The small world's lattice under a noiseless quadratic, its top at another action for each task type."""
    world = compiled.world()
    size = np.array(world.lattice.shape)
    tops = np.array([[1, 5, 1, 0, 0, 0], [4, 2, 0, 0, 0, 0]])

    def reward(task: Any, ids: Any) -> Any:
        gap = (world.lattice.decode(ids) - tops[int(task)]) / np.maximum(size - 1, 1)
        return -np.square(gap).sum(axis=-1)

    def outcome(params: Any, t: Any, context: Any, action_id: Any, *, noise: Noise) -> tuple[Outcome, Any]:
        assert noise.uniform.shape == noise.normal.shape == (0,)
        return Outcome(*(0.0,) * len(Outcome._fields)), reward(context.task, np.reshape(action_id, (1,)))[0]

    def expected(params: Any, t: Any, index: Any, ids: Any) -> tuple[Outcome, Any]:
        zero = np.zeros(len(ids))
        return Outcome(*(zero,) * len(Outcome._fields)), reward(world.population.task[int(index)], ids)

    return replace(world, name="bowl", world=world.world._replace(
        expected=expected, outcome=outcome, n_uniform=0, n_normal=0
    ))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("item", [0, 1])
def test_the_same_actions_meet_the_same_requests_and_rewards_as_in_the_compiled_run(item: int) -> None:
    world, rows = compiled.world(), compiled_run()
    players = [Scripted(rows.action_id[item][rows.task[item] == k]) for k in range(2)]
    rounds = play(world, noise_of(world, PLAN, PLAN.seeds[item]), players)
    assert np.array_equal(rounds.task, rows.task[item])
    assert np.array_equal(rounds.action_id, rows.action_id[item])
    assert len(set(rounds.action_id.tolist())) > 5  # they were various
    np.testing.assert_allclose(rounds.reward, rows.reward[item], rtol=1e-9, atol=1e-12)
    for k in range(2):
        assert players[k].rewards == rounds.reward[rounds.task == k].tolist()


@every_peer
def test_a_search_plays_the_noise_of_its_seeds_bit_for_bit(name: str) -> None:
    world, run = compiled.world(), found(name)
    for row, seed in enumerate(PLAN.seeds):
        players = [Scripted(run.action_id[row][run.task[row] == k]) for k in range(2)]
        again = play(world, noise_of(world, PLAN, seed), players)
        assert np.array_equal(again.reward, run.reward[row])


@every_peer
def test_only_legal_actions_are_tried_and_recommended_and_the_start_is_tried_first(name: str) -> None:
    world, run = compiled.world(), found(name)
    allowed = constraints.legal(world.lattice, limits(world))
    homes = constraints.start(world.lattice, limits(world), world.baseline)
    assert not allowed.all()
    for k in range(2):
        assert allowed[k][run.action_id[run.task == k]].all()
        assert allowed[k][run.observed[:, k]].all() and allowed[k][run.posterior[:, k]].all()
        tried = run.action_id[0][run.task[0] == k]
        assert tried[0] == run.observed[0, k, 0] == run.posterior[0, k, 0] == homes[k]
        assert run.observed[0, k, 1] == homes[k]  # after one trial it is the best of one


@every_peer
def test_best_observed_is_the_best_reward_before_the_evaluation(name: str) -> None:
    run = found(name)
    s, t = len(PLAN.seeds), compiled.N_ROUNDS // 2
    assert run.observed.shape == run.posterior.shape == (s, 2, t)
    for k in range(2):
        for row in range(s):
            tried, rewards = run.action_id[row][run.task[row] == k], run.reward[row][run.task[row] == k]
            by_hand = [tried[rewards[:n].argmax()] for n in range(1, t)]
            assert run.observed[row, k, 1:].tolist() == by_hand


@every_peer
def test_a_search_is_a_function_of_its_plan_and_seeds_do_not_meet(name: str) -> None:
    run = found(name)
    one = PLAN._replace(seeds=(1,), n_rounds=40)
    alone = search(name, compiled.world(), one, limits=limits(compiled.world()))
    for field in ("action_id", "reward"):
        assert np.array_equal(getattr(alone, field)[0], getattr(run, field)[1, :40])
    for field in ("observed", "posterior"):
        assert np.array_equal(getattr(alone, field)[0], getattr(run, field)[1, :, :20])
    assert not np.array_equal(run.action_id[0], run.action_id[1])


@every_peer
def test_task_types_have_studies_of_their_own(name: str) -> None:
    run = found(name)
    first, second = (run.action_id[0][run.task[0] == k] for k in range(2))
    assert not np.array_equal(first[1:], second[1:])


@every_peer
def test_a_noiseless_bowl_is_solved(name: str) -> None:
    world = bowl()
    plan = Plan(0, Purpose.TRAIN, (0, 1), 2 * 121)
    run = search(name, world, plan, limits=limits(world))
    values = type_values(world, t=0)
    allowed = constraints.legal(world.lattice, limits(world))
    for k in range(2):
        top = np.where(allowed[k], values[k], -np.inf).max()
        assert values[k][run.posterior[:, k, -1]].min() == pytest.approx(top, abs=1e-12)
        assert values[k][run.posterior[:, k, 0]].max() < top - 0.05  # it did not start there


def test_an_evaluation_that_never_came_leaves_the_start() -> None:
    world = compiled.world()
    run = search("random_search", world, PLAN._replace(n_rounds=1), limits=limits(world))
    assert run.observed.shape == (2, 2, 0)


def test_late_feedback_is_refused() -> None:
    late = PLAN._replace(feedback=FeedbackParams(mean_delay=2.0, max_delay=8))
    with pytest.raises(ValueError, match="late or lost"):
        search("random_search", compiled.world(), late, limits=limits(compiled.world()))


@pytest.mark.parametrize("changes", [{"seeds": ()}, {"n_rounds": 0}])
def test_a_plan_with_nothing_in_it_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need at least one of each"):
        search("random_search", compiled.world(), PLAN._replace(**changes), limits=limits(compiled.world()))


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cma_es'"):
        search("cmaes", compiled.world(), PLAN, limits=limits(compiled.world()))


def test_a_reward_that_is_not_finite_is_refused() -> None:
    world = compiled.world()

    def outcome(params: Any, t: Any, context: Any, action_id: Any, *, noise: Noise) -> tuple[Outcome, float]:
        return Outcome(*(0.0,) * len(Outcome._fields)), float("nan")

    silent = replace(world, world=world.world._replace(outcome=outcome))
    with pytest.raises(ValueError, match="round 0: reward nan of action"):
        search("random_search", silent, PLAN, limits=limits(world))


def test_every_peer_has_its_number_of_seeds_and_only_the_slow_one_fewer_than_20() -> None:
    assert set(N_SEEDS) == set(PEERS)
    assert {name for name, n in N_SEEDS.items() if n < 20} == {"optuna_gp"}
