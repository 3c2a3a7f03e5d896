"""Exact surfaces: tolerance sets, windows and distances by hand, and the same numbers as the oracle's."""

import numpy as np
import pytest

from envs import presets
from envs.oracle import best_of_types, type_values
from experiments.converging.cases import BAD, named, scenario_of
from experiments.converging.surfaces import least_approvals, reachable, surfaces_of
from policies.build import make_spec
from policies.constraints import Params as ConstraintParams
from policies.constraints import bounds, legal, window
from tests.hand_runs import START, VALUES, surface


def test_what_is_within_tolerance_by_hand():
    assert np.flatnonzero(surface().inside[0]).tolist() == [0, 1]  # .8 - .77 <= .04 < .8 - .7


def test_a_span_larger_than_the_values_widens_the_tolerance():
    wide = surface()._replace(span=5.0)  # .02 * 5 = .1
    assert np.flatnonzero(wide.inside[0]).tolist() == [0, 1, 3]


def test_an_illegal_best_is_no_oracle():
    allowed = np.ones(15, bool)
    allowed[0] = False
    assert surface(legal=allowed).best.tolist() == [0.77]


def test_each_evaluation_is_told_in_its_own_stretch():
    drifting = surface(values=np.stack([VALUES, VALUES - 0.1]), begins=(0, 2))
    assert drifting.stretch(4).tolist() == [0, 0, 1, 1]
    assert drifting.at(np.array([[0, 0, 0, 1]])).round(3).tolist() == [[0.8, 0.8, 0.7, 0.67]]


def test_fewest_approvals_by_hand():
    # From (.4, 312) to (0, 212): 4 temperature steps at 2 each, 1 cap at 1: two approvals; (0, 112) needs two as well.
    assert least_approvals(surface(), np.array([START, 0, 8, 2], np.int32), 0).tolist() == [2, 0, 1, 1]


def test_no_radius_no_way():
    fixed = surface()._replace(radius=(0, 1, 0, 0, 0, 0))
    assert least_approvals(fixed, np.array([START], np.int32), 0)[0] >= 10**6


def test_best_in_reach_by_hand():
    # Around (.4, 312): temperatures .2 to .4, caps 212 and 312: the best is (.2, 212), .4.
    assert reachable(surface())[0, START] == pytest.approx(0.4)


def test_best_in_reach_is_that_of_the_policys_own_window():
    world, constraints = named("gsm8k_small", BAD), ConstraintParams()
    one, scenario = surfaces_of(world, constraints, evaluations=220)[1], scenario_of(world)
    limits = bounds(scenario.lattice, constraints, recorded=scenario.recorded)
    spec = make_spec(scenario, constraints, presets.load("policy", "uniform"))
    for action in np.random.default_rng(0).integers(scenario.lattice.size, size=40):
        held = window(spec, limits, np.int32(action), np.int32(1))
        assert reachable(one)[0, action] == one.values[0, held.action_ids[held.feasible]].max()


def test_surfaces_are_the_oracles():
    world, constraints = named("gsm8k_small"), ConstraintParams()
    found, scenario = surfaces_of(world, constraints, evaluations=220), scenario_of(world)
    allowed = legal(scenario.lattice, bounds(scenario.lattice, constraints, recorded=scenario.recorded))
    best = best_of_types(scenario, allowed=allowed).value
    for k, one in enumerate(found):
        np.testing.assert_array_equal(one.values[0], type_values(scenario)[k])
        assert one.best[0] == best[k]
        assert one.start == scenario.baseline[k]
