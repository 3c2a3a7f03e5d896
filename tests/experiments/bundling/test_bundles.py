"""Bundles to test with are what their names say, and load under the key that signed them."""

import numpy as np
import pytest

from experiments.bundling.bundles import learned, learners, played, release, small_world, under_mission, wide_world
from experiments.bundling.probe import NOW
from policies.bundle import Trust, load
from policies.refusals import SignatureError


def test_the_wide_world_asks_for_51_actions_by_32_features():
    policy = learned(wide_world(), learners()["linucb shared"], rounds=3)
    assert (policy.spec.k, policy.spec.d) == (51, 32)
    assert all(held.feasible.all() for held in policy.windows)


def test_every_learner_of_the_group_is_there_once_per_kind_of_features():
    known = learners()
    assert {"fixed", "decomposed", "linucb shared", "linucb disjoint", "thompson disjoint"} <= set(known)
    assert known["linucb disjoint"].features == "disjoint"


def test_the_window_stays_where_it_was_while_a_learner_learns():
    world, seen = small_world(), []
    policy = under_mission(world, learners()["thompson shared"])
    for rounds in (5, 40):
        seen.append(played(world, policy, rounds))
    assert not np.array_equal(seen[0].theta, seen[1].theta)
    frozen = learned(world, learners()["thompson shared"], rounds=40)
    assert np.array_equal(frozen.approved, policy.params.start)
    assert np.array_equal(frozen.state.theta, seen[1].theta)


def test_a_published_bundle_loads_under_its_key_alone(folders):
    first, second, key = folders
    assert load(first, trust=Trust(keys=(key,)), now=NOW).release.name == release().name
    with pytest.raises(SignatureError):
        load(second, trust=Trust(keys=(key,)), now=NOW)
