"""The JavaScript reader on bundles that were written here: its own tests, and the answers that Python gives."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.tasks import TaskFeatures
from experiments.bundling.agreement import READER, UNJUDGED, node, write_readable
from policies.bundle import publish_bundle
from policies.frozen import FrozenPolicy, freeze_policy
from policies.graph import trace
from policies.learners import linucb, thompson
from policies.release import Release
from tests.examples import run_policy, small_world, two_models

OWN_TESTS = READER.with_suffix(".test.mjs")
FILES = ("policy_graph.mjs", "read_bundle.mjs", "read_bundle.test.mjs")
MAX_WIDTH = 120
APPROVED = replace(
    UNJUDGED,
    verdict="approved",
    reasons=("its lower bound is above 0",),
    estimate=0.02,
    standard_error=0.005,
    lower_bound=0.01,
    n=1000,
    ess=400.0,
    max_weight_share=0.01,
)
HIGHEST = {name: 10**12 for name in ("title_length", "description_length", "max_loc", "prompt_tokens")}
EXTREMES: list[tuple[Any, ...]] = [
    ({}, "long", "r-1"),
    ({"complexity_indicators": ["x"] * 9, "has_external_deps": True, **HIGHEST}, "short", "r-\u00e9-\U0001f600"),
    ({"prompt_tokens": None, "prior_failures": None}, "long", "\u0000"),
    ({"title_length": 10**12 + 1}, "long", "r-1"),
    ({"titel_length": 1}, "long", "r-1"),
    ({"risk_tier": True}, "short", "r-1"),
    ({"model_name": "large"}, "long", "r-1"),
    ({"model_name": "huge"}, "long", "r-1"),
    ({}, "unheard of", "r-1"),
    ({}, "long", ""),
    ({}, "long", "\u00e9" * 513),
    ({}, "long", "r-1", [1.0]),
    ({}, "long", "r-1", [0.0, 1e6]),
    ([], "long", "r-1"),
    (None, "short", None),
]


@cache
def frozen(*, models: bool) -> FrozenPolicy:
    world = two_models() if models else small_world()
    learner = linucb.Params(features="disjoint") if models else thompson.Params(features="disjoint")
    run, stops = run_policy(learner, world=world), {"long": ("END", "\n\n")}
    return freeze_policy(world, run.bounded, state=run.state.inner, approved=run.state.approved, stops=stops)


@pytest.fixture(params=[False, True], ids=["one model", "two models"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, FrozenPolicy]:
    policy = frozen(models=request.param)
    write_readable(tmp_path, policy, graph=trace(policy))
    return tmp_path, policy


def ask(folder: Path, asked: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = ("features", "task_type", "request_id", "prices")
    lines = [json.dumps(dict(zip(names, one, strict=False))) + "\n" for one in asked]
    return [json.loads(line) for line in node(str(READER), str(folder), given="".join(lines)).splitlines()]


def test_the_readers_own_tests_pass(bundle: tuple[Path, FrozenPolicy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE", str(bundle[0]))
    told = node("--test", str(OWN_TESTS))
    n_passed = re.search(r"pass (\d+)", told)
    assert n_passed and int(n_passed[1]) == OWN_TESTS.read_text("utf-8").count("\ntest(") >= 9


def test_good_and_bad_requests_get_what_python_answers(bundle: tuple[Path, FrozenPolicy]) -> None:
    folder, policy = bundle
    for asked, told in zip(EXTREMES, ask(folder, EXTREMES), strict=True):
        said = policy.recommend(*asked[:3], **({"prices": asked[3]} if len(asked) > 3 else {}))
        assert told["parameters"] == said.parameters, asked
        assert (told["action_id"], told["uniform"]) == (said.action_id, said.uniform), asked
        assert told["propensity"] == pytest.approx(said.propensity, abs=2**-20), asked
        assert np.abs(np.array(told["masses"]) - said.masses).max() <= 1, asked
        assert told["action_ids"] == said.window.action_ids.tolist(), asked
        assert told["reason"].split(":")[0] == said.refusal.split(":")[0], asked
        assert told["policy_digest"] == said.policy_digest


def test_bad_requests_are_among_those_asked() -> None:
    """Both kinds of refusal and their absence occur, for either policy."""
    for models in (False, True):
        kinds = {frozen(models=models).recommend(*asked[:3]).refusal.split(":")[0] for asked in EXTREMES}
        assert kinds == {"", "approved parameters", "fallback"}


def test_every_feature_has_its_default_in_javascript(tmp_path: Path) -> None:
    """Said one by one, the defaults of a task give the answer that leaving all of them out gives."""
    policy = frozen(models=False)
    write_readable(tmp_path, policy, graph=trace(policy))
    said = {name: getattr(TaskFeatures(), name) for name in TaskFeatures.__dataclass_fields__}
    first, *others = ask(tmp_path, [({}, "long", "r-1"), *(({n: v}, "long", "r-1") for n, v in said.items())])
    assert len(others) == 12 and all(other == first for other in others)


def test_a_published_and_signed_bundle_is_read_with_its_key_and_with_no_other(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    policy = frozen(models=False)
    release = Release(name="tuner", version="1.0.0", evidence=APPROVED)
    now = datetime(2026, 1, 5, tzinfo=UTC)
    folder = publish_bundle(tmp_path, policy, release=release, graph=trace(policy), sign=key.sign, now=now)
    line = json.dumps({"features": {}, "task_type": "long", "request_id": "r-1"})
    for arguments in ((), (key.public_key().public_bytes_raw().hex(),)):
        told = json.loads(node(str(READER), str(folder), *arguments, given=line))
        assert told["parameters"] == policy.recommend({}, "long", "r-1").parameters
        assert told["bundle_digest"] == json.loads((folder / "manifest.json").read_bytes())["digest"]
    with pytest.raises(RuntimeError, match=r"manifest\.sig: another signature, need one by the key given"):
        node(str(READER), str(folder), other.public_key().public_bytes_raw().hex(), given=line)


def test_an_operator_that_the_reader_does_not_know_is_told_when_it_loads(tmp_path: Path) -> None:
    import onnx

    policy = frozen(models=False)
    made = onnx.load_from_string(trace(policy))
    made.graph.node.insert(0, onnx.helper.make_node("Tanh", ["context"], ["unused"]))
    write_readable(tmp_path, policy, graph=made.SerializeToString())
    with pytest.raises(RuntimeError, match=r"policy\.onnx: operator Tanh, need one of Abs Add"):
        node(str(READER), str(tmp_path))


def test_a_policy_that_answers_otherwise_than_its_golden_cases_is_refused(tmp_path: Path) -> None:
    policy, run = frozen(models=False), run_policy(thompson.Params(features="disjoint"), seed=1)
    other = replace(policy, state=run.state.inner)
    write_readable(tmp_path, policy, graph=trace(other))
    with pytest.raises(RuntimeError, match=r"golden\[\d+\]: .* need"):
        node(str(READER), str(tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_examples_are_narrow_and_use_nothing_but_node(name: str) -> None:
    text = (READER.parent / name).read_text("utf-8")
    assert max(map(len, text.splitlines())) <= MAX_WIDTH
    found = re.findall(r'\bfrom "([^"]+)"', text)
    assert found or name == "policy_graph.mjs"
    assert all(module.startswith(("node:", "./")) for module in found)
    assert not re.search(r"\b(require|eval|import)\(|new Function", text)
