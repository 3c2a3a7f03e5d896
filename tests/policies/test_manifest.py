"""The manifest says what a policy is and may do, in words and decimals that a reviewer can check."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from envs.tasks import CLIP, FeatureSpec, TaskFeatures, encode
from policies.evidence import Approval, Waiver
from policies.frozen import FrozenPolicy
from policies.golden import requests
from policies.manifest import CARD, FORMAT_VERSION, GRAPH, SAMPLING, render, sealed, sha256
from policies.manifest import POLICY as FILE
from policies.manifest_reader import FIELDS
from policies.release import Release
from policies.strict_json import canonical, plain
from tests.examples import LEARNERS, LIMITS, evidence, frozen, release, run_policy, small_world, two_models

RUN = run_policy(LEARNERS["linucb shared"])
POLICY = frozen("linucb shared", stops={"long": ("END",)})
CARD_TEXT = b"# a card"


def manifest(policy: FrozenPolicy = POLICY, said: Release | None = None) -> Any:
    body = render(policy, said or release(), golden=requests(policy), files={FILE: policy.text, GRAPH: b"graph"})
    return sealed(body, CARD_TEXT)


def test_the_fields_stand_in_their_order() -> None:
    made = manifest()
    assert tuple(made) == FIELDS
    assert made["format_version"] == FORMAT_VERSION == "2.0"
    assert made["created_by"] == {"name": "guardband", "version": "unknown", "code_sha256": None}


def test_limits_radii_and_approved_parameters_are_decimals_of_the_lattice() -> None:
    made = manifest()
    assert made["hard_limits"]["temperature"] == {"lowest": "0.6", "highest": LIMITS.temperature.highest}
    assert made["hard_limits"]["max_tokens"] == {"lowest": LIMITS.max_tokens.lowest, "highest": "812"}
    assert made["trust_region"]["temperature"] == {"steps": 2, "radius": "0.2"}
    assert made["trust_region"]["max_tokens"] == {"steps": 2, "radius": "200"}
    assert Decimal(made["trust_region"]["frequency_penalty"]["steps"]) == 0
    for kind, action in zip(made["task_types"], RUN.state.approved, strict=True):
        assert kind["approved"] == {
            "action_id": int(action),
            "parameters": small_world().lattice.parameters(int(action)),
        }
        assert kind["unrecorded"] == []


def test_unrecorded_actions_are_listed_as_runs() -> None:
    recorded = POLICY.limits.recorded.copy()
    recorded[1, [0, 1, 5, 143]] = False
    made = manifest(replace(POLICY, limits=POLICY.limits._replace(recorded=recorded)))
    assert [kind["unrecorded"] for kind in made["task_types"]] == [[], [[0, 1], [5, 5], [143, 143]]]


def test_the_features_section_is_enough_to_encode_a_task() -> None:
    task = TaskFeatures(title_length=9, description_length=10**6, complexity_indicators=("a",), prior_failures=None)
    made = manifest()["features"]
    known: dict[str, Any] = {"risk_tier": 0.0, "has_external_deps": -1.0, "complexity_indicators": -1.0, "missing": 2.0}
    entries = []
    for entry in made["entries"]:
        if entry["name"] in known:
            entries.append(known[entry["name"]])
        else:
            count = getattr(task, entry["name"])
            entries.append(0.0 if count is None else (np.log1p(count) - entry["centre"]) / entry["scale"])
    clipped = np.clip(entries, -made["clip"], made["clip"])
    assert np.array_equal(clipped, encode(task, FeatureSpec()))
    assert made["clip"] == CLIP


def test_files_and_digest_are_those_of_the_bytes() -> None:
    made = manifest()
    raws = {FILE: POLICY.text, GRAPH: b"graph", CARD: CARD_TEXT}
    assert made["files"] == {name: {"sha256": sha256(raw), "bytes": len(raw)} for name, raw in raws.items()}
    assert list(made["files"]) == ["policy.json", "policy.onnx", "MODEL_CARD.md"]
    assert made["policy"]["digest"] == POLICY.digest == sha256(POLICY.text)
    body = {name: value for name, value in made.items() if name != "digest"}
    assert made["digest"] == sha256(canonical(body))
    assert json.loads(json.dumps(made)) == made


def test_an_approval_changes_the_manifest_and_not_the_policy() -> None:
    moved = replace(POLICY, approved=RUN.bounded.params.start)
    assert manifest(moved)["policy"] == manifest()["policy"]
    assert manifest(moved)["digest"] != manifest()["digest"]


def test_evidence_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"evidence.lower_bound = nan, need a finite number"):
        manifest(said=release(evidence=evidence(lower_bound=float("nan"))))


def test_the_release_is_said_whole() -> None:
    waiver = Waiver(identity="release manager", reason="pilot", expires="2030-01-31T12:00:00Z")
    told = release(
        **{"name": "chat", "version": "1.2.3", "previous": "ab" * 32, "writer": "0.1.0", "code": "cd" * 32},
        **{"approvals": (Approval(identity="release manager", role="owner"),), "waivers": (waiver,)},
    )
    made = manifest(said=told)
    assert (made["policy"]["name"], made["policy"]["version"], made["previous"]) == ("chat", "1.2.3", "ab" * 32)
    assert made["created_by"] == {"name": "guardband", "version": "0.1.0", "code_sha256": "cd" * 32}
    assert made["approvals"] == [{"identity": "release manager", "role": "owner"}]
    assert made["waivers"] == [plain(asdict(waiver), "waivers")]
    assert made["evidence"] == told.evidence.plain()


def test_every_input_says_kind_unit_range_and_what_is_taken_where_it_is_missing() -> None:
    """The rule in the manifest's words against the defaults of the class that reads a request."""
    inputs = {item["name"]: item for item in manifest()["features"]["inputs"]}
    for name, default in asdict(TaskFeatures()).items():
        item = inputs.pop(name)
        assert item["unit"]
        if item["missing"].startswith("taken as "):
            assert json.loads(item["missing"].removeprefix("taken as ")) == (
                list(default) if default == () else default
            )
        else:
            assert default is None and item["missing"].startswith("null: its entry is 0")
        if item["kind"] == "integer":
            assert TaskFeatures(**{name: item["highest"]}) != TaskFeatures(**{name: item["lowest"]})
            for beyond in (item["highest"] + 1, item["lowest"] - 1):
                with pytest.raises(ValueError, match=name):
                    TaskFeatures(**{name: beyond})
    assert not inputs


def test_the_rule_for_unknown_models_is_said_as_it_is_kept() -> None:
    assert manifest()["features"]["unknown_model"] == "ignored: no entry depends on the model"
    policy = frozen("uniform")
    several = replace(policy, features=FeatureSpec(models=("small", "large")), spec=policy.spec._replace(d=14))
    assert manifest(several)["features"]["unknown_model"] == "the approved parameters"
    assert manifest(several)["features"]["models"] == ["small", "large"]


def test_fingerprints_are_those_of_their_sections_and_of_nothing_else() -> None:
    made, other = manifest(), manifest(frozen("thompson shared"), release(version="9.0.0"))
    for name in ("features", "actions", "reward"):
        body = {key: value for key, value in made[name].items() if key != "fingerprint"}
        assert made[name]["fingerprint"] == sha256(canonical(body)) == other[name]["fingerprint"]
    models = manifest(frozen("thompson shared", world=two_models()))
    assert models["actions"]["fingerprint"] != made["actions"]["fingerprint"]
    wider = replace(POLICY, features=FeatureSpec(tuple((n, c, 2 * s) for n, c, s in FeatureSpec().counts)))
    assert manifest(wider)["features"]["fingerprint"] != made["features"]["fingerprint"]


def test_the_actions_section_is_enough_to_decode_an_id() -> None:
    for policy in (POLICY, frozen("thompson shared", world=two_models())):
        axes = manifest(policy)["actions"]["axes"]
        shape = [len(axis["values"]) for axis in axes]
        for action in range(0, policy.lattice.size, 7):
            spot = np.unravel_index(action, shape)
            values = {axis["name"]: axis["values"][int(i)] for axis, i in zip(axes, spot, strict=True)}
            mine = {name: value for name, value in values.items() if value}  # "" is not chosen
            theirs = policy.lattice.parameters(action)
            assert mine.keys() == theirs.keys()
            assert all(
                str(theirs[name]) == value or float(theirs[name]) == float(value) for name, value in mine.items()
            )
        assert [axis["parameter"] for axis in axes] == [f"gen_ai.request.{axis['name']}" for axis in axes]
        assert all(axis["unit"] for axis in axes)


def test_fallback_stop_sequences_and_sampling_are_said() -> None:
    made = manifest()
    assert made["fallback"] == {
        "action_id": POLICY.fallback,
        "parameters": small_world().lattice.parameters(POLICY.fallback),
    }
    assert [kind["stop_sequences"] for kind in made["task_types"]] == [[], ["END"]]
    assert made["sampling"] == SAMPLING and made["sampling"]["total_mass"] == 2**20
    assert made["reward"]["span"] == POLICY.reward_span and len(made["golden"]) == 32


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _leaves(child)
    else:
        yield value


def test_it_holds_plain_finite_values_alone() -> None:
    made = manifest()
    assert {type(leaf) for leaf in _leaves(made)} <= {str, int, float, bool, type(None)}
    assert all(np.isfinite(leaf) for leaf in _leaves(made) if isinstance(leaf, float))
