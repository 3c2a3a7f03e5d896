"""What changed between two bundles: an example of each kind, in its words and in its place."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from policies.bundle_diff import SAME, differences
from policies.evidence import Evidence, Finding, Waiver
from policies.frozen import FrozenPolicy, freeze_policy
from policies.golden import requests
from policies.manifest import POLICY, render, sealed
from policies.release import Release
from tests.examples import LEARNERS, run_policy, small_world

EVIDENCE = Evidence(
    verdict="approved",
    reasons=("good",),
    candidate="thompson",
    world="small",
    estimator="dr",
    interval="betting",
    regime="iid",
    estimate=0.03125,
    standard_error=0.005,
    lower_bound=0.0125,
    alpha=0.05,
    n=4321,
    ess=1200.5,
    max_weight_share=0.01,
    findings=(Finding(claim="slope", measured="0.4", required="at most 0.6", holds=True),),
)
WAIVER = Waiver(identity="release manager", reason="a trial", expires="2030-01-31T12:00:00Z")


class Made(NamedTuple):
    """A bundle as far as a comparison looks."""

    policy: FrozenPolicy
    digest: str
    manifest: dict[str, Any]


def made(policy: FrozenPolicy, **said: Any) -> Made:
    facts: dict[str, Any] = {"name": "writer", "version": "1.0.0", "evidence": EVIDENCE, "waivers": (WAIVER,)}
    release = Release(**(facts | said))
    whole = sealed(render(policy, release, golden=requests(policy), files={POLICY: policy.text}), b"")
    return Made(policy, whole["digest"], json.loads(json.dumps(whole)))


@cache
def frozen(learner: str = "thompson shared", n_rounds: int = 20) -> FrozenPolicy:
    run = run_policy(LEARNERS[learner], n_rounds=n_rounds)
    return freeze_policy(small_world(), run.bounded, state=run.state.inner)


@cache
def old() -> Made:
    return made(frozen())


def edited(change: Callable[[dict[str, Any]], object]) -> Made:
    """The old bundle with another manifest: what is said of it, not what it does."""
    manifest = copy.deepcopy(old().manifest)
    change(manifest)
    return Made(old().policy, "another", manifest | {"previous": old().digest})


def at(*path: Any, put: Any) -> Callable[[dict[str, Any]], object]:
    def change(manifest: dict[str, Any]) -> None:
        node: Any = manifest
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = put

    return change


def _unlike(name: str, *, steps: int) -> FrozenPolicy:
    """The policy with another approved action for the task type `long`: so many steps of an axis away."""
    policy = frozen()
    axis = [one.name for one in policy.lattice.axes].index(name)
    point = policy.lattice.decode(policy.approved[1:])
    point[0, axis] += steps
    return replace(policy, approved=np.array([policy.approved[0], policy.lattice.encode(point)[0]], np.int32))


KIND = {"name": "new\nkind", "approved": {"action_id": 0, "parameters": {}}, "stop_sequences": [], "unrecorded": []}
SAID: dict[str, tuple[Callable[[dict[str, Any]], object], list[str]]] = {
    "a wider hard limit": (
        at("hard_limits", "max_tokens", "lowest", put="112"),
        ["hard limit of max_tokens is wider: 212 to 812 -> 112 to 812"],
    ),
    "a narrower hard limit": (
        at("hard_limits", "temperature", put={"lowest": "0.7", "highest": "1.0"}),
        ["hard limit of temperature is narrower: 0.6 to 1.1 -> 0.7 to 1.0"],
    ),
    "a hard limit that moved": (
        at("hard_limits", "temperature", put={"lowest": "0.5", "highest": "1.0"}),
        ["hard limit of temperature is wider on one side and narrower on the other: 0.6 to 1.1 -> 0.5 to 1.0"],
    ),
    "a wider trust region": (
        at("trust_region", "max_tokens", put={"steps": 3, "radius": "300"}),
        ["trust region of max_tokens is wider: 200 -> 300"],
    ),
    "a narrower trust region": (
        at("trust_region", "temperature", put={"steps": 1, "radius": "0.1"}),
        ["trust region of temperature is narrower: 0.2 -> 0.1"],
    ),
    "strides": (
        at("trust_region", "max_tokens", "strides", put=[1, 1, 1, 1, 2, 2, 2, 2]),
        ["trust region of max_tokens is wider: 200 (strides differ) -> 200 (strides differ)"],
    ),
    "a task type more": (lambda m: m["task_types"].append(KIND), [r"task type 'new\nkind': new"]),
    "a task type less": (
        lambda m: m["task_types"].pop(),
        ["task type long: gone, answered by the fallback from here on"],
    ),
    "stop sequences": (
        at("task_types", 0, "stop_sequences", put=["END"]),
        ["stop sequences of short: [] -> ['END']"],
    ),
    "the fallback": (
        at("fallback", "parameters", "temperature", put=0.7),
        ["fallback parameters: temperature 0.9 -> 0.7 (-0.2)"],
    ),
    "the reward": (
        at("reward", "weights", 0, 0, put=2.0),
        ["reward: its parts or weights differ, so rewards and bounds of the two do not compare"],
    ),
    "evidence": (at("evidence", "lower_bound", put=-0.5), ["evidence, lower bound: 0.0125 -> -0.5"]),
    "the regime": (at("evidence", "regime", put="drift"), ["evidence, regime: iid -> drift"]),
    "a claim": (
        at("evidence", "findings", 0, put={"claim": "slope", "measured": "0.9", "required": "", "holds": False}),
        ["evidence, claim slope: 0.4 -> 0.9", "evidence, claim slope does not hold any more"],
    ),
    "what the evidence rests on": (
        at("evidence", "digests", "config", put="0" * 64),
        ["evidence rests on another config"],
    ),
    "a waiver gone": (at("waivers", put=[]), ["waiver of gate by release manager (a trial): gone"]),
    "a longer waiver": (
        at("waivers", 0, "expires", put="2031-01-31T12:00:00Z"),
        ["waiver of gate by release manager (a trial), its end: 2030-01-31T12:00:00Z -> 2031-01-31T12:00:00Z"],
    ),
    "approvals": (
        at("approvals", put=[{"identity": "release manager", "role": "owner"}]),
        ["approvals: '' -> release manager, as owner"],
    ),
    "the version": (at("policy", "version", put="1.1.0"), ["policy, version: 1.0.0 -> 1.1.0"]),
    "a parameter": (at("policy", "parameters", "n_draws", put=32), ["policy, parameter n_draws: 16 -> 32"]),
    "a transform": (
        at("features", "entries", 4, "scale", put=0.75),
        ["context entry title_length, scale: 0.5 -> 0.75"],
    ),
    "models": (at("features", "models", put=["a"]), ["features, models: [] -> ['a']"]),
    "the lattice": (at("actions", "axes", 2, "values", put=["1"]), ["values of top_p: 0.8, 0.9, 1.0 -> 1"]),
    "code": (at("created_by", "code_sha256", put="0" * 64), ["code: its sha256 differs"]),
    "golden requests": (
        lambda m: m["golden"].append(m["golden"][0]),
        ["golden requests: others, 32 -> 33"],
    ),
    "files": (
        lambda m: m["files"].update({"policy.onnx": {}}),
        ["files: MODEL_CARD.md, policy.json -> MODEL_CARD.md, policy.json, policy.onnx"],
    ),
}


def test_a_bundle_does_not_differ_from_itself() -> None:
    assert differences(old(), made(frozen())) == [SAME]


@pytest.mark.parametrize("case", SAID)
def test_a_change_of_what_is_said_is_told_alone(case: str) -> None:
    change, lines = SAID[case]
    assert differences(old(), edited(change)) == lines


@pytest.mark.parametrize("case", SAID)
def test_every_change_is_told_the_other_way_round_too(case: str) -> None:
    back = differences(edited(SAID[case][0]), old())
    assert len([line for line in back if not line.startswith("predecessor")]) == len(SAID[case][1])


@pytest.mark.parametrize(
    ("axis", "steps", "line"),
    [
        ("temperature", -1, "approved parameters of long: temperature 0.9 -> 0.8 (-0.1); within the old trust region"),
        ("max_tokens", 3, "approved parameters of long: max_tokens 412 -> 712 (+300); "
         "max_tokens leaves the old trust region"),
    ],
)  # fmt: skip
def test_approved_parameters_that_moved_are_told_against_the_old_region(axis: str, steps: int, line: str) -> None:
    found = differences(old(), made(_unlike(axis, steps=steps)))
    assert found[0] == line


def test_approved_parameters_outside_the_old_hard_limits_are_told() -> None:
    change = at("hard_limits", "temperature", "highest", put="0.9")
    before = edited(change)
    lines = differences(before, made(_unlike("temperature", steps=1)))
    assert lines[0].startswith("hard limit of temperature is wider")
    assert lines[1].endswith("temperature 0.9 -> 1.0 (+0.1); temperature leaves the old hard limits")


def test_more_learning_is_told_as_norms_and_as_answers() -> None:
    """The norms by NumPy; the answers by asking both policies one by one."""
    new = made(frozen(n_rounds=40), previous=old().digest)
    lines = differences(old(), new)
    a, b = old().policy.state.theta, new.policy.state.theta
    gap, norm = np.linalg.norm(b - a), np.linalg.norm(a)
    theta = f"norm {norm:.6g} -> {np.linalg.norm(b):.6g}, norm of the difference {gap:.3g}, {gap / norm:.3g} of"
    assert f"learned theta: {theta} the old norm" in lines
    cases = old().manifest["golden"]
    assert [case["request_id"] for case in cases] == [case["request_id"] for case in new.manifest["golden"]]
    told = next(line for line in lines if "total variation" in line)
    moves = []
    for case in cases:
        asked = case["features"], case["task_type"], case["request_id"]
        here, there = old().policy.recommend(*asked), new.policy.recommend(*asked)
        assert here.window.action_ids.tolist() == there.window.action_ids.tolist()
        moves.append(np.abs(here.probabilities - there.probabilities).sum() / 2)
    assert f"total variation {np.mean(moves):.3g} in the mean, {max(moves):.3g} at worst" in told
    assert not any(line.startswith("predecessor") for line in lines)
    assert lines[-1] == f"policy digest: {old().policy.digest[:12]}... -> {new.policy.digest[:12]}..."


def test_another_learner_is_told_and_its_arrays_come_and_go() -> None:
    lines = differences(old(), made(frozen("softmax disjoint")))
    assert "policy, kind: thompson -> softmax" in lines
    shapes = [list(policy.state.theta.shape) for policy in (frozen(), frozen("softmax disjoint"))]
    assert f"learned theta: shapes differ, {shapes[0]} -> {shapes[1]}" in lines
    assert {"learned root: gone", "learned covariance: new"} <= set(lines)


def test_requests_that_the_new_policy_can_not_be_asked_are_counted() -> None:
    before = edited(lambda m: m["golden"][0].update(task_type="gone"))
    assert "golden requests: 1 of 32 can't be put to both policies" in differences(before, old())


def test_a_bundle_that_follows_another_says_so() -> None:
    lines = differences(old(), made(frozen(), previous="ab" * 32))
    assert lines == [f"predecessor: the new bundle follows abababababab..., not the old one ({old().digest[:12]}...)"]
    lines = differences(old(), made(frozen(), version="1.0.1"))
    assert lines[-1].startswith("predecessor: the new bundle names no predecessor, not the old one")


def test_bounds_come_before_all_else() -> None:
    wide = replace(_unlike("temperature", steps=-1), limits=frozen().limits._replace(lowest=frozen().limits.lowest * 0))
    lines = differences(old(), made(wide, version="2.0.0", waivers=()))
    words = [line.split()[0] for line in lines]
    assert words[:5] == ["hard", "approved", "waiver", "policy,", "golden"]
