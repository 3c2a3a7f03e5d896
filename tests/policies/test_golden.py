"""Golden cases: enough requests of every kind, asked the same of the same policy, and any other answer is refused."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.tasks import FeatureSpec
from policies.frozen import FrozenPolicy, freeze_policy
from policies.golden import LEAST, answers, read_golden, requests
from policies.learned import Learned
from policies.manifest import POLICY, render, sealed, sha256
from policies.manifest_reader import read_files, read_manifest
from policies.masses import TOTAL, draw_slot
from policies.refusals import FormatError, GoldenError
from policies.request import read_task, request_seed, request_uniform
from policies.strict_json import canonical, parse, plain
from tests.examples import LEARNERS, frozen, many_types, release, under_limits

HERE = frozen("thompson shared")
CARD = b"a card"


def of_types(n: int) -> FrozenPolicy:
    """A policy of so many task types that has learned nothing yet."""
    made = under_limits(LEARNERS["thompson shared"], many_types(n))
    return freeze_policy(many_types(n), made, state=made.policy.init(made.params).inner)


@pytest.mark.parametrize(("n", "each"), [(1, 32), (2, 16), (3, 11), (40, 8)])
def test_there_are_at_least_32_and_8_of_every_task_type(n: int, each: int) -> None:
    policy = of_types(n)
    asked = requests(policy)
    assert Counter(one.task_type for one in asked) == dict.fromkeys(policy.task_types, each)
    assert len(asked) >= LEAST
    assert len({one.request_id for one in asked}) == len(asked)
    assert len(answers(policy, asked)) == len(asked)


def test_the_same_policy_is_asked_the_same_and_another_something_else() -> None:
    assert requests(HERE) == requests(frozen("thompson shared"))
    assert requests(HERE) != requests(frozen("linucb shared"))


def test_missing_extreme_and_ordinary_features_are_among_them() -> None:
    for kind in HERE.task_types:
        first, second, *others = [one.features for one in requests(HERE) if one.task_type == kind]
        assert first == {}
        top = {"title_length": 200, "description_length": 8000, "max_loc": 5000, "prompt_tokens": 6000}
        assert second.items() >= (top | {"scope_files_count": 40, "prior_failures": 40}).items()
        assert {one["prompt_tokens"] is None for one in others} == {True, False}
    sent = [one.features for one in requests(HERE) if one.features]
    assert {one["risk_tier"] for one in sent} == {1, 2, 3}
    assert {one["has_external_deps"] for one in sent} == {True, False}
    assert {len(one["complexity_indicators"]) for one in sent} == {0, 1, 2, 3, 4}
    contexts = np.array([HERE.decision(read_task(one.features), 0, np.ones(2)).features for one in requests(HERE)])
    assert contexts.max() == 3.0 and contexts.min() == -3.0  # both ends of the clipped range


def test_every_request_names_a_model_where_the_features_know_several() -> None:
    policy = frozen("uniform")
    policy = replace(policy, features=FeatureSpec(models=("small", "large")), spec=policy.spec._replace(d=14))
    asked = requests(policy)
    assert {one.features["model_name"] for one in asked} == {"small", "large"}
    assert len(answers(policy, asked)) == 32


def test_an_answer_holds_what_the_policy_says() -> None:
    for asked, said in zip(requests(HERE), answers(HERE, requests(HERE)), strict=True):
        answer = HERE.recommend(asked.features, asked.task_type, asked.request_id)
        assert said["masses"] == answer.masses.tolist() and sum(said["masses"]) == TOTAL
        assert said["uniform"] == answer.uniform == request_uniform(asked.request_id, HERE.digest)
        assert said["seed"] == answer.parameters["gen_ai.request.seed"] == request_seed(asked.request_id)
        assert [u for u, _ in said["actions"]] == [0, 349525, 699050, 1048575]
        for uniform, action in said["actions"]:
            assert action == answer.window.action_ids[int(draw_slot(answer.masses, np.int32(uniform)))]
        assert plain(said, "golden") == said


BODY = render(HERE, release(), golden=requests(HERE), files={POLICY: HERE.text})
MANIFEST: dict[str, Any] = sealed(BODY, CARD)
LEARNED = Learned(HERE.params, HERE.spec, HERE.state)


def read(edit: Callable[[list[Any]], None]) -> None:
    """Read a manifest whose golden cases were edited by someone who knows the format: its digest fits."""
    made = copy.deepcopy(MANIFEST)
    edit(made["golden"])
    made.pop("digest")
    root = parse(canonical(made | {"digest": sha256(canonical(made))}), "manifest.json")
    read_files(root)
    read_manifest(root, LEARNED, files={POLICY: HERE.text}, card=CARD)


def _swap_mass(cases: list[Any]) -> None:
    masses = cases[5]["masses"]
    a, b = [i for i, mass in enumerate(masses) if mass][:2]
    masses[a], masses[b] = masses[a] + 1, masses[b] - 1


def _put(i: int, name: str, value: Any) -> Callable[[list[Any]], None]:
    def edit(cases: list[Any]) -> None:
        cases[i][name] = value

    return edit


def _other_action(cases: list[Any]) -> None:
    cases[3]["actions"][2][1] += 1


def _one_off(name: str) -> Callable[[list[Any]], None]:
    def edit(cases: list[Any]) -> None:
        cases[31][name] ^= 1

    return edit


def _exchange(cases: list[Any]) -> None:
    cases[0]["request_id"], cases[1]["request_id"] = cases[1]["request_id"], cases[0]["request_id"]


EDITS: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "one unit of mass moved": (_swap_mass, "golden[5].masses"),
    "masses of another length": (_put(5, "masses", [TOTAL]), "golden[5].masses"),
    "masses as floats": (_put(5, "masses", [float(m) for m in MANIFEST["golden"][5]["masses"]]), "golden[5].masses"),
    "another action": (_other_action, "golden[3].actions"),
    "fewer actions": (_put(3, "actions", []), "golden[3].actions"),
    "another uniform": (_one_off("uniform"), "golden[31].uniform"),
    "another seed": (_one_off("seed"), "golden[31].seed"),
    "a seed as text": (_put(2, "seed", "7"), "golden[2].seed"),
    "another request id": (_put(4, "request_id", "golden-99"), "golden[4].seed"),
    "two requests exchanged": (_exchange, "golden[0].seed"),
    "other features": (_put(1, "features", {}), "golden[1].actions"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_answer_that_does_not_replay_is_refused_with_its_place(edit: str) -> None:
    change, place = EDITS[edit]
    with pytest.raises(GoldenError) as caught:
        read(change)
    assert (caught.value.file, caught.value.field) == ("manifest.json", place)
    assert "what this machine answers" in caught.value.needed


FAULTS: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "one too few": (lambda cases: cases.pop(), "golden = 31 cases, need 32 to 1024"),
    "none": (lambda cases: cases.clear(), "golden = 0 cases, need 32 to 1024"),
    "too many": (lambda cases: cases.extend(cases * 32), "golden = 1056 cases, need 32 to 1024"),
    "a task type unheard of": (
        _put(0, "task_type", "shrot"),
        r"golden\[0\].task_type = 'shrot', need one of short, lo",
    ),
    "a feature unheard of": (_put(0, "features", {"risk": 1}), r"golden\[0\] = .*, need a request that can be asked"),
    "a feature out of range": (_put(0, "features", {"risk_tier": 9}), "a request that can be asked: risk_tier = 9"),
    "features as list": (_put(0, "features", []), r"golden\[0\].features = \[\], need a JSON object"),
    "an empty id": (_put(0, "request_id", ""), "a request that can be asked: request_id = ''"),
    "an id of another kind": (_put(0, "request_id", 3), r"golden\[0\].request_id = 3, need text"),
    "a field more": (_put(0, "note", 1), r"unknown field 'golden\[0\].note'"),
    "a case that is none": (lambda cases: cases.__setitem__(0, None), r"golden\[0\] = None, need a JSON object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_cases_that_can_not_be_asked_are_refused(fault: str) -> None:
    change, words = FAULTS[fault]
    with pytest.raises(FormatError, match=words):
        read(change)


def test_requests_are_read_as_they_were_asked() -> None:
    root = parse(canonical(MANIFEST), "manifest.json").mapping()
    assert read_golden(root["golden"], HERE) == requests(HERE)
    read(lambda cases: None)


def test_another_policy_under_the_same_cases_is_refused() -> None:
    """One unit in the last place of what was learned, its digest put right: the uniforms are other ones."""
    theta = HERE.state.theta.copy()
    theta[3] = np.nextafter(theta[3], 1)
    other = replace(HERE, state=HERE.state._replace(theta=theta))
    made = sealed(render(other, release(), golden=requests(HERE), files={POLICY: other.text}), CARD)
    made["golden"] = MANIFEST["golden"]
    made.pop("digest")
    root = parse(canonical(made | {"digest": sha256(canonical(made))}), "manifest.json")
    with pytest.raises(GoldenError, match=r"golden\[0\].uniform"):
        read_manifest(root, Learned(other.params, other.spec, other.state), files={POLICY: other.text}, card=CARD)
