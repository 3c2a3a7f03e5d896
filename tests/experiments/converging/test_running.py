"""Runs that are sent back: those of the simulation, task type by task type, under the rule a learner can follow."""

from dataclasses import replace

import numpy as np
import pytest

from envs.drift import Params as DriftParams
from experiments.convergence import run_policies, train_plan
from experiments.converging.cases import Case, Named, scenario_of
from experiments.converging.running import Ask, Setting, answer, by_key, has_outlook, joined, survey, under
from policies import approval
from policies.constraints import Params as ConstraintParams
from policies.learners import thompson, ucb1
from tests.compiled import LEARNER, LIMITS, N_ROUNDS, PARAMS, SEEDS
from tests.hand_runs import run

PLACE = Named("small", "default", "", PARAMS, (DriftParams(),))
CASE = Case(PLACE, tuple(range(SEEDS)), N_ROUNDS // 2)
ASK = Ask(LEARNER, approval.Params(), (CASE,), Setting(0, "float64", LIMITS, None))


@pytest.fixture(scope="module")
def done():
    return answer(ASK)


def test_runs_are_those_of_the_simulation(done):
    scenario = scenario_of(PLACE)
    (same,) = run_policies(
        scenario, [under(scenario, ASK)], train_plan(0, SEEDS, n_rounds=N_ROUNDS, precision="float64")
    )
    assert [one.task for one in done.found] == list(scenario.population.names)
    for k, one in enumerate(done.found):
        np.testing.assert_array_equal(one.centre, same.centre[:, k::2])
        assert one.reward.shape == one.action.shape == (SEEDS, N_ROUNDS // 2)
        assert (one.counts[:, 0] >= (np.diff(one.centre, axis=1) != 0).sum(axis=1)).all()
    assert done.cpu_seconds > 0


def test_nobody_is_watched_unless_asked(done):
    assert np.isnan(done.found[0].confidence).all()
    assert (done.found[0].recommended == -1).all()


def test_a_policy_without_a_belief_follows_two_sample():
    scenario = scenario_of(PLACE)
    assert under(scenario, ASK._replace(learner=ucb1.Params()))[1] == "two_sample"
    passage = approval.Params(rule="passage")
    assert under(scenario, ASK._replace(approval=passage))[1] == "passage"
    disjoint = replace(thompson.Params(), features="disjoint")
    assert under(scenario, ASK._replace(approval=passage, learner=disjoint))[1] in ("improve", "passage")


def test_who_has_an_outlook():
    constraints = ConstraintParams()
    assert has_outlook(PLACE, thompson.Params(), constraints)
    assert not has_outlook(PLACE, ucb1.Params(), constraints)


def test_seeds_of_one_policy_are_joined_and_others_are_not():
    parts = [run([[0, 1]]), run([[2, 3], [4, 5]]), run([[6, 7]], policy="other")]
    whole = joined(parts)
    assert [one.policy for one in whole] == ["mine", "other"]
    assert whole[0].centre.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert whole[0].key == ("hand", "task")


def test_surfaces_are_found_by_world_and_task_type():
    found = survey([PLACE], LIMITS, 30)
    assert set(by_key(found.found)) == {("small", name) for name in scenario_of(PLACE).population.names}
