"""The graph of a policy: what serves, traced; the same bytes from every process, the same answers as NumPy."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

from policies.base import Decision
from policies.frozen import FrozenPolicy, freeze_policy
from policies.graph import MISSING, Asked, Served, runner, trace
from policies.learners import decomposed, linucb, thompson
from policies.masses import TOTAL, draw_slot
from policies.softened import Params as SoftenedParams
from tests.examples import run_policy, small_world, two_models

N_ASKED = 60
LINUCB = linucb.Params(features="disjoint")  # the quickest to trace that learns
QUADRATURE = thompson.Params(features="disjoint", floor=0.0)
SOFTENED = SoftenedParams(LINUCB, sharpness=30.0)
# The sha256 of a graph that a new process traces; string hashing differs from process to process.
PROBE = """
import hashlib
from policies.graph import trace
from policies.learners import linucb
from tests.policies.test_graph import frozen
print(hashlib.sha256(trace(frozen(linucb.Params(features="disjoint")))).hexdigest())
"""


@cache
def frozen(learner: Any, *, models: bool = False) -> FrozenPolicy:
    here = two_models() if models else small_world()
    run = run_policy(learner, world=here)
    seen = np.array([31, 9], np.int32)
    return freeze_policy(here, run.bounded, state=run.state.inner, approved=run.state.approved, seen=seen)


@cache
def graph() -> bytes:
    return trace(frozen(LINUCB))


def spread(policy: FrozenPolicy) -> FrozenPolicy:
    """Slots two steps of max_tokens apart, a third of all actions unrecorded, a narrower radius."""
    rng, limits = np.random.default_rng(0), policy.limits
    stride, radius, recorded = limits.stride.copy(), limits.radius.copy(), limits.recorded.copy()
    stride[1, :], radius[0] = 2, 1
    recorded &= rng.random(recorded.shape) > 1 / 3
    recorded[np.arange(len(policy.approved)), policy.approved] = True
    return replace(policy, limits=limits._replace(stride=stride, radius=radius, recorded=recorded))


POLICIES = {
    "linucb shared": lambda: frozen(linucb.Params()),
    "floored": lambda: frozen(replace(LINUCB, floor=0.3)),
    "softened": lambda: frozen(SOFTENED),
    "quadrature without a floor": lambda: frozen(QUADRATURE),
    "several models": lambda: frozen(thompson.Params(n_draws=16), models=True),
    "strides, unrecorded actions": lambda: spread(frozen(LINUCB)),
}


@pytest.mark.parametrize("name", POLICIES)
def test_onnxruntime_gives_the_masses_and_actions_of_numpy(name: str) -> None:
    """All equal: a sum in another order moves no remainder over an edge of its 2^20 steps in so few requests."""
    policy, rng = POLICIES[name](), np.random.default_rng(1)
    answer, n_excluded = runner(trace(policy)), 0
    for i in range(N_ASKED):
        task, uniform = i % policy.spec.n_tasks, int(rng.integers(TOTAL))
        context = np.clip(1.5 * rng.normal(size=policy.spec.d), -3.0, 3.0)
        held, known = policy.windows[task], (np.int32(policy.seen[task]), np.float64(policy.reward_span))
        masses = policy.masses(Decision(context, np.int32(task), *known, np.ones(2), held))
        served = answer(Asked(context, task, uniform))
        np.testing.assert_array_equal(served.masses, masses)
        np.testing.assert_array_equal(served.action_ids, held.action_ids)
        np.testing.assert_array_equal(served.feasible, held.feasible)
        assert served.slot == draw_slot(masses, np.int32(uniform))
        assert served.action_id == held.action_ids[served.slot]
        n_excluded += int((~held.feasible).sum())
    assert n_excluded > 0  # windows were put to work


@pytest.mark.slow
def test_prices_reach_a_policy_that_knows_them() -> None:
    """Output tokens fifty times dearer: a policy that composes its reward from prices answers otherwise."""
    run = run_policy(decomposed.Params(shapes=64, rank=4, n_draws=16), n_rounds=4)
    policy = freeze_policy(small_world(), run.bounded, state=run.state.inner, approved=run.state.approved)
    answer, task = runner(trace(policy)), small_world().population.tasks[15]
    asked = [policy.decision(task, 1, np.array(prices)) for prices in ((1.0, 1.0), (1.0, 50.0))]
    told = [answer(Asked(one.features, 1, 0, tuple(one.prices.tolist()))).masses for one in asked]
    assert not np.array_equal(told[0], told[1])
    np.testing.assert_array_equal(told, [policy.masses(one) for one in asked])


def test_inputs_and_outputs_are_those_of_the_format() -> None:
    made = onnx.load_from_string(graph())
    ports = {
        port.name: (port.type.tensor_type.elem_type, [size.dim_value for size in port.type.tensor_type.shape.dim])
        for port in (*made.graph.input, *made.graph.output)
    }
    kinds, k = onnx.TensorProto, frozen(LINUCB).spec.k
    assert ports == {
        "context": (kinds.DOUBLE, [12]),
        "task": (kinds.INT32, []),
        "uniform": (kinds.INT32, []),
        "prices": (kinds.DOUBLE, [2]),
        "action_ids": (kinds.INT32, [k]),
        "feasible": (kinds.BOOL, [k]),
        "masses": (kinds.INT32, [k]),
        "slot": (kinds.INT32, []),
        "action_id": (kinds.INT32, []),
    }
    assert tuple(ports) == (*Asked._fields, *Served._fields)


def test_a_graph_is_of_default_operators_float64_and_holds_its_own_data() -> None:
    made = onnx.load_from_string(graph())
    onnx.checker.check_model(made, full_check=True)
    assert [item.domain for item in made.opset_import] == [""] and not made.functions and not made.metadata_props
    assert all(node.domain == "" and node.op_type != "If" for node in made.graph.node)
    kinds = {item.data_type for item in made.graph.initializer}
    assert not kinds & {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    assert not any(item.external_data for item in made.graph.initializer)


def test_one_bit_of_what_was_learned_is_another_graph() -> None:
    policy = frozen(LINUCB)
    theta = policy.state.theta.copy()
    theta[3] = np.nextafter(theta[3], 1.0)
    assert trace(replace(policy, state=policy.state._replace(theta=theta))) != graph()
    assert trace(replace(policy, reward_span=np.nextafter(policy.reward_span, 2.0))) != graph()


@pytest.mark.slow
def test_the_same_policy_gives_the_same_bytes_in_another_process() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, env=_elsewhere())
    assert (
        done.stdout.strip() == hashlib.sha256(graph()).hexdigest() == hashlib.sha256(trace(frozen(LINUCB))).hexdigest()
    )


def _elsewhere() -> dict[str, str]:
    return os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("raw", [b"", b"no graph", b"\x08\x0a" * 9], ids=["empty", "text", "fields"])
def test_what_is_no_graph_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"policy\.onnx does not load"):
        runner(raw)


def test_a_graph_with_other_inputs_is_refused() -> None:
    made = onnx.load_from_string(graph())
    made.graph.input[0].name = "features"
    made.graph.node.insert(0, onnx.helper.make_node("Identity", ["features"], ["context"]))
    with pytest.raises(ValueError, match=r"has the inputs and outputs .*'features'.*need"):
        runner(made.SerializeToString())


@pytest.mark.parametrize(
    ("package", "use"), [("ndonnx", lambda: trace(frozen(LINUCB))), ("onnxruntime", lambda: runner(b""))]
)
def test_a_missing_package_is_told_with_the_extra_that_has_it(
    package: str, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(MISSING)):
        use()
