"""Optimisers as runs: the arrays of the search, task type by task type."""

import numpy as np

from envs.randomness import Purpose
from experiments.converging.cases import Case, named, scenario_of
from experiments.converging.peering import OBSERVED, POSTERIOR, answer_peer
from experiments.converging.running import Setting
from experiments.peers.search import search
from experiments.simulate import Plan
from policies.constraints import Params as ConstraintParams
from policies.constraints import bounds


def test_both_recommendations_of_a_peer_are_runs_of_their_own():
    where, constraints = named("gsm8k_small"), ConstraintParams()
    done = answer_peer("random_search", Case(where, (0, 1), 12), Setting(0, "float64", constraints, None))
    assert [(one.task, one.rule) for one in done.found] == [
        (task, rule) for task in ("short_answer", "long_form") for rule in (POSTERIOR, OBSERVED)
    ]  # fmt: skip
    scenario = scenario_of(where)
    limits = bounds(scenario.lattice, constraints, recorded=scenario.recorded)
    found = search("random_search", scenario, Plan(0, Purpose.TRAIN, (0, 1), 24), limits=limits)
    np.testing.assert_array_equal(done.found[2].centre, found.posterior[:, 1])
    np.testing.assert_array_equal(done.found[3].centre, found.observed[:, 1])
    np.testing.assert_array_equal(done.found[2].action, found.action_id[:, 1::2])
    assert np.isnan(done.found[0].confidence).all()
