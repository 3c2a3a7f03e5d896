"""The softmax of any belief: the vector by hand, everything else the learner's, and whole through a bundle."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.base import Belief
from policies.build import learner_policy, ready
from policies.bundle import DIGEST_ONLY, load, write_candidate
from policies.digest import policy_digest, policy_text
from policies.frozen import FrozenPolicy
from policies.learned import read_learned
from policies.learners import epsilon_greedy, linucb, softmax, thompson, thompson_nig, uniform
from policies.refusals import BundleError
from policies.softened import Params, bare, boltzmann, softened
from policies.strict_json import canonical, parse
from tests import examples
from tests.examples import release, small_world
from tests.hand import SHARED, choice, decision, feedback, leaves, window

INNER: dict[str, Any] = {
    "thompson": thompson.Params(n_draws=16),
    "linucb disjoint": linucb.Params(features="disjoint"),
    "thompson_nig": thompson_nig.Params(n_draws=16),
    "epsilon_greedy": epsilon_greedy.Params(),
}
HELD = window([True, True, False, True])
every_inner = pytest.mark.parametrize("name", INNER)


def frozen(name: str, sharpness: float = 30.0) -> FrozenPolicy:
    return examples.frozen(Params(INNER[name], sharpness))


def test_weights_double_where_the_mean_is_log_two_over_the_sharpness_more() -> None:
    mean = np.array([0.0, np.log(2) / 10, 99.0, 2 * np.log(2) / 10])
    assert boltzmann(mean, HELD.feasible, sharpness=np.float64(10)) == pytest.approx([1 / 7, 2 / 7, 0, 4 / 7])


def test_without_sharpness_it_is_uniform_and_with_much_it_neither_overflows_nor_wavers() -> None:
    mean = np.array([0.1, 0.5, 1e6, 0.2])
    assert boltzmann(mean, HELD.feasible, sharpness=np.float64(0)) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert boltzmann(mean, HELD.feasible, sharpness=np.float64(1e6)).tolist() == [0, 1, 0, 0]


@every_inner
def test_state_belief_and_update_are_the_learners(name: str) -> None:
    spec = SHARED._replace(features=getattr(INNER[name], "features", "shared"))
    params, inner = ready(Params(INNER[name]), spec), learner_policy(INNER[name], spec)
    soft, here = softened(inner), decision(HELD, features=[1.0, -1.0, 0.5])
    seen = (here, choice(1, 1), feedback(0.7))
    one, two = (
        soft.update(params, soft.init(params), *seen),
        inner.update(params.inner, inner.init(params.inner), *seen),
    )
    assert leaves(one) == leaves(two)
    assert soft.window is None and (soft.outlook is None) == (inner.outlook is None)


def test_it_is_the_softmax_learner_where_that_has_the_same_belief() -> None:
    ours, theirs = Params(thompson.Params(n_draws=16), 7.0), softmax.Params(n_draws=16, sharpness=7.0)
    here = decision(HELD)
    belief = Belief(np.array([0.1, 0.3, 0.9, 0.2]), np.ones(4), np.ones((4, 2)))
    made = [learner_policy(one, SHARED).probs(ready(one, SHARED), None, here, belief) for one in (ours, theirs)]
    assert np.array_equal(*made)
    assert made[0][0] > ours.floor / 3  # floored as every learner


def test_a_learner_without_a_belief_is_refused() -> None:
    with pytest.raises(ValueError, match="this learner has no belief to take the softmax of"):
        learner_policy(Params(uniform.Params()), SHARED)


def test_bare_takes_the_wrapper_off_once() -> None:
    inner = thompson.Params()
    assert bare(Params(inner)) is bare(inner) is inner


@every_inner
def test_its_text_reads_back_to_the_same_bits_and_names_both(name: str) -> None:
    policy = frozen(name)
    found = read_learned(policy.text, file="policy.json")
    assert (found.params, found.spec) == (policy.params, policy.spec)
    assert leaves(found.state) == leaves(policy.state)
    assert policy.kind == "softened"
    kind = parse(policy.text, "policy.json").mapping()["parameters"].mapping()["learner"].mapping()["kind"]
    assert kind.value == name.split()[0]


def test_sharpness_floor_and_learner_are_part_of_the_digest() -> None:
    policy = frozen("thompson")
    others = (
        Params(INNER["thompson"], 31.0),
        Params(replace(INNER["thompson"], floor=0.06), 30.0),
        INNER["thompson"],
        softmax.Params(n_draws=16, sharpness=30.0),
    )
    digests = {policy_digest(one, state=policy.state, spec=policy.spec) for one in others}
    assert len(digests | {policy.digest}) == 5


@every_inner
def test_a_bundle_answers_as_before_it_was_written(name: str, tmp_path: Path) -> None:
    before = frozen(name)
    write_candidate(tmp_path / "bundle", before, release())
    after = load(tmp_path / "bundle", trust=DIGEST_ONLY)
    said = after.manifest["policy"]
    assert (said["kind"], said["parameters"]["sharpness"], said["exploration_floor"]) == (
        "softened",
        30.0,
        INNER[name].floor,
    )
    for i, task in enumerate(small_world().population.tasks):
        here, there = (one.recommend(task, ("short", "long")[i % 2], f"r-{i}") for one in (before, after))
        assert (here.parameters, here.action_id, here.reason) == (there.parameters, there.action_id, there.reason)
        assert np.array_equal(here.masses, there.masses)


def _wrong_kind(document: Any) -> None:
    document["parameters"]["learner"]["kind"] = "softened"


def _blunt(document: Any) -> None:
    document["parameters"]["sharpness"] = -1.0


def _whole(document: Any) -> None:
    document["parameters"]["sharpness"] = 3


def _short(document: Any) -> None:
    del document["parameters"]["learner"]["parameters"]["floor"]


def _odd(document: Any) -> None:
    document["parameters"]["learner"]["parameters"]["features"] = "disjoint"


def _silent(document: Any) -> None:
    document["parameters"]["learner"] = {"kind": "uniform", "parameters": {"floor": 1.0}}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_wrong_kind, "parameters.learner.kind = 'softened', need one of"),
        (_blunt, "parameters.sharpness = -1.0, need a number >= 0"),
        (_whole, "parameters.sharpness = 3, need a value of type float"),
        (_short, "parameters.learner.parameters.floor = nothing, need a value"),
        (_odd, "need features = 'disjoint', as the parameters say"),
        (_silent, "policy.json: this learner has no belief"),
    ],
)
def test_a_text_with_a_fault_is_refused_by_field(edit: Any, words: str) -> None:
    policy = frozen("thompson")
    document = json.loads(policy_text(policy.params, state=policy.state, spec=policy.spec))
    edit(document)
    with pytest.raises(BundleError, match=words):
        read_learned(canonical(document), file="policy.json")
