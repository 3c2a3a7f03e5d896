"""The manifest says what a policy is and may do, in words and decimals that a reviewer can check."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from envs.tasks import CLIP, FeatureSpec, TaskFeatures, encode
from policies.frozen import FrozenPolicy, freeze_policy
from policies.manifest import render, sha256
from policies.strict_json import canonical
from tests.examples import LEARNERS, LIMITS, run_policy, small_world

RUN = run_policy(LEARNERS["linucb shared"])
POLICY = freeze_policy(small_world(), RUN.bounded, state=RUN.state.inner, approved=RUN.state.approved)


def manifest(policy: FrozenPolicy = POLICY) -> Any:
    return render(policy, version="0.1.0", evidence={"lower_bound": 0.01})


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
    assert made["files"] == {"policy.json": {"sha256": sha256(POLICY.text), "bytes": len(POLICY.text)}}
    assert made["policy"]["digest"] == POLICY.digest == sha256(POLICY.text)
    body = {name: value for name, value in made.items() if name != "digest"}
    assert made["digest"] == sha256(canonical(body))
    assert json.loads(json.dumps(made)) == made


def test_an_approval_changes_the_manifest_and_not_the_policy() -> None:
    moved = replace(POLICY, approved=RUN.bounded.params.start)
    assert manifest(moved)["policy"] == manifest()["policy"]
    assert manifest(moved)["digest"] != manifest()["digest"]


def test_evidence_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"evidence.gate.lower = nan, need a finite number"):
        render(POLICY, version="0.1.0", evidence={"gate": {"lower": float("nan")}})
