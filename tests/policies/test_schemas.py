"""The published JSON Schemas: valid, true of every bundle, and as strict on form as the reader is."""

import json
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from envs import presets
from envs.tasks import TaskFeatures
from policies.base import Spec
from policies.evidence import Approval, Digests, Evidence, Finding, Waiver
from policies.frozen import freeze_policy
from policies.golden import LEAST, requests
from policies.manifest import FORMAT_VERSION, POLICY, SAMPLING, render, sealed
from policies.manifest_reader import FIELDS, LIMITS
from policies.model_card import render_card
from policies.release import Release
from tests.examples import LEARNERS, run_policy, small_world, two_models, under_limits

jsonschema: Any = import_module("jsonschema")  # it ships no types
FOLDER = Path(__file__).resolve().parents[2] / "policies" / "schemas"
NAMES = ("manifest", "policy")
FINDING = Finding(claim="slope", measured="0.4", required="at most 0.6", holds=True)
EVIDENCE = Evidence(
    verdict="approved",
    reasons=("good",),
    candidate="c",
    world="w",
    estimator="dr",
    interval="betting",
    regime="iid",
    estimate=0.1,
    standard_error=0.1,
    lower_bound=0.0,
    alpha=0.05,
    n=10,
    ess=9.5,
    max_weight_share=0.1,
    findings=(FINDING,),
    digests=Digests(config="0" * 64),
)
RELEASE = Release(
    name="writer",
    version="1.2.3",
    evidence=EVIDENCE,
    approvals=(Approval(identity="release manager", role="owner"),),
    waivers=(Waiver(identity="release manager", reason="a trial", expires="2030-01-31T12:00:00Z"),),
    previous="1" * 64,
)


@cache
def schema(name: str) -> Any:
    return json.loads((FOLDER / f"{name}-{FORMAT_VERSION}.schema.json").read_bytes())


@cache
def judge(name: str) -> Any:
    return jsonschema.Draft202012Validator(schema(name))


@cache
def _texts(learner: str, models: bool = False) -> dict[str, bytes]:
    world = two_models() if models else small_world()
    run = run_policy(LEARNERS[learner], n_rounds=5, world=world)
    seen = run.state.seen if models else None
    policy = freeze_policy(
        world, run.bounded, state=run.state.inner, approved=run.state.approved, seen=seen, stops={"long": ["END"]}
    )
    body = render(policy, RELEASE, golden=requests(policy), files={POLICY: policy.text})
    return {"manifest": json.dumps(sealed(body, render_card(body).encode())).encode(), "policy": policy.text}


def document(name: str, learner: str = "thompson shared", *, models: bool = False) -> Any:
    return json.loads(_texts(learner, models)[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_closed_and_names_no_host(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"urn:guardband:bundle:{name}:{FORMAT_VERSION}"
    text = json.dumps({key: value for key, value in schema(name).items() if key != "$schema"})
    assert "://" not in text


def _nodes(node: Any) -> list[dict[str, Any]]:
    """Every object within a schema."""
    children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    return [node] * isinstance(node, dict) + [inner for child in children for inner in _nodes(child)]


@pytest.mark.parametrize("name", NAMES)
def test_every_object_of_a_schema_is_closed_and_every_field_described(name: str) -> None:
    for node in _nodes(schema(name)):
        if node.get("type") == "object":
            assert "additionalProperties" in node and "description" in node
            assert set(node.get("required", ())) <= set(node.get("properties", ()))
            for field, said in node.get("properties", {}).items():
                assert "description" in said or "$ref" in said, field


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_fits(name: str, learner: str) -> None:
    judge(name).validate(document(name, learner))


@pytest.mark.parametrize("learner", presets.names("policy"))
def test_every_learner_that_a_config_can_choose_fits_before_it_learns(learner: str) -> None:
    made = under_limits(presets.load("policy", learner))
    policy = freeze_policy(small_world(), made, state=made.policy.init(made.params).inner)
    judge("policy").validate(json.loads(policy.text))


@pytest.mark.parametrize("name", NAMES)
def test_a_choice_of_models_and_evaluations_fit(name: str) -> None:
    made = document(name, models=True)
    judge(name).validate(made)
    if name == "manifest":
        assert made["actions"]["axes"][-1]["values"] == ["small", "large"] and made["task_types"][0]["evaluations"] > 0


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document; of a list its first two items."""
    pairs = (
        list(node.items()) if isinstance(node, dict) else list(enumerate(node))[:2] if isinstance(node, list) else []
    )
    return [place for key, child in pairs for place in ((*path, key), *_places(child, (*path, key)))]


def _parent(made: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        made = made[key]
    return made


@pytest.mark.parametrize("name", NAMES)
def test_another_type_is_refused_in_every_place(name: str) -> None:
    made, fits = document(name), []
    for path in _places(made):
        parent = _parent(made, path)
        held = parent[path[-1]]
        parent[path[-1]] = "x" if isinstance(held, dict | list) else [{}]
        fits += [path] * judge(name).is_valid(made)
        parent[path[-1]] = held
    assert fits == []


OPEN = {("policy", "parameters"), ("parameters",), ("state",), ("hard_limits",), ("trust_region",)}


def _may_go(name: str, path: tuple[Any, ...]) -> bool:
    """Fields whose absence no schema can know: it depends on the learner, the lattice or the request."""
    return (
        path[:-1] in OPEN
        or "features" in path[2:-1]
        or (name == "manifest" and path[-2:-1] == ("parameters",))
        or path[-1] == "evaluations"
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_field_may_be_missing_and_none_added(name: str) -> None:
    made, fits = document(name), []
    for path in _places(made):
        parent = _parent(made, path)
        if isinstance(parent, dict) and not _may_go(name, path):
            held = dict(parent)
            del parent[path[-1]]
            fits += [path] * judge(name).is_valid(made)
            parent |= {**held, "another": 1}
            fits += [(*path, "and another")] * (judge(name).is_valid(made) and path[:-1] not in OPEN)
            parent.clear()
            parent |= held
    judge(name).validate(made)
    assert fits == []


def test_field_lists_are_those_of_the_reader() -> None:
    top = schema("manifest")["properties"]
    assert tuple(top) == tuple(schema("manifest")["required"]) == FIELDS
    assert list(top["sampling"]["properties"]) == list(SAMPLING)
    assert list(top["evidence"]["properties"]) == [item.name for item in fields(Evidence)]
    assert list(top["evidence"]["properties"]["digests"]["properties"]) == [item.name for item in fields(Digests)]
    assert list(top["waivers"]["items"]["properties"]) == [item.name for item in fields(Waiver)]
    assert list(top["approvals"]["items"]["properties"]) == [item.name for item in fields(Approval)]
    sizes = {name: said["properties"]["bytes"]["maximum"] for name, said in top["files"]["properties"].items()}
    assert sizes == LIMITS
    assert top["golden"]["minItems"] == LEAST
    assert set(schema("manifest")["$defs"]["task"]["properties"]) == {item.name for item in fields(TaskFeatures)}
    assert tuple(schema("policy")["properties"]["spec"]["properties"]) == Spec._fields


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), "3.0"),
        (("policy", "version"), "1.2"),
        (("policy", "name"), "A b"),
        (("policy", "digest"), "0" * 63),
        (("features", "clip"), 4.0),
        (("features", "entries", 0, "transform"), "value"),
        (("features", "entries", 4, "scale"), 0.0),
        (("evidence", "alpha"), 0.0),
        (("evidence", "estimate"), None),
        (("waivers", 0, "expires"), "2030-01-31"),
        (("waivers", 0, "waives"), ["everything"]),
        (("approvals", 0, "identity"), " "),
        (("golden",), []),
        (("golden", 0, "uniform"), 1 << 20),
        (("hard_limits", "temperature", "lowest"), "NaN"),
    ],
)
def test_a_value_out_of_range_is_refused(path: tuple[Any, ...], value: Any) -> None:
    made = document("manifest")
    _parent(made, path)[path[-1]] = value
    assert not judge("manifest").is_valid(made)
