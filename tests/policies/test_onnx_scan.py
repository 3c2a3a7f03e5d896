"""The walk through an ONNX file: what a policy needs passes, all else is refused by one type of error."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from policies.frozen import freeze_policy
from policies.graph import trace
from policies.onnx_scan import MAX_DEPTH, MAX_ELEMENTS, MAX_FIELDS, MAX_LISTED, MAX_NODES, scan
from policies.refusals import FormatError
from tests.examples import LEARNERS, run_policy, small_world

D, K = 3, 4
PORTS: dict[str, tuple[int, list[int]]] = {
    "context": (TensorProto.DOUBLE, [D]),
    "task": (TensorProto.INT32, []),
    "uniform": (TensorProto.INT32, []),
    "prices": (TensorProto.DOUBLE, [2]),
    "action_ids": (TensorProto.INT32, [K]),
    "feasible": (TensorProto.BOOL, [K]),
    "masses": (TensorProto.INT32, [K]),
    "slot": (TensorProto.INT32, []),
    "action_id": (TensorProto.INT32, []),
}


def tensor(values: Any, *, raw: bool = True, kind: int = TensorProto.DOUBLE) -> onnx.TensorProto:
    array = np.asarray(values)
    given: Any = array.tobytes() if raw else array.ravel().tolist()
    return helper.make_tensor("t", kind, array.shape, given, raw=raw)


def model() -> onnx.ModelProto:
    """The ports of a policy, an initializer, a constant, a subgraph, lists, and words around them."""
    values = [helper.make_tensor_value_info(name, *port) for name, port in PORTS.items()]
    branch = helper.make_graph([helper.make_node("Identity", ["task"], ["x"])], "branch", [], [])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor(np.arange(6.0).reshape(2, 3))),
        helper.make_node("Constant", [], ["e"], value_ints=[1, -2, 300]),
        helper.make_node("Constant", [], ["f"], value_floats=[0.5, 2.0]),
        helper.make_node("If", ["task"], ["y"], then_branch=branch, else_branch=branch, domain=""),
        *[helper.make_node("Identity", ["task"], [name], name="n", doc_string="d") for name in list(PORTS)[4:]],
    ]
    held = tensor(np.arange(3), raw=False, kind=TensorProto.INT64)
    graph = helper.make_graph(nodes, "policy", values[:4], values[4:], [held], doc_string="words")
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], producer_name="tests")
    helper.set_model_props(made, {"made": "here"})
    return made


def check(made: onnx.ModelProto) -> None:
    scan(made.SerializeToString(), file="policy.onnx", d=D, k=K)


@cache
def traced(learner: str) -> tuple[bytes, int, int]:
    run = run_policy(LEARNERS[learner], n_rounds=5)
    policy = freeze_policy(small_world(), run.bounded, state=run.state.inner, approved=run.state.approved)
    return trace(policy), policy.spec.d, len(policy.spec.offsets)


def test_what_a_policy_needs_passes() -> None:
    check(model())
    other_name = model()
    other_name.opset_import[0].domain = other_name.graph.node[0].domain = "ai.onnx"
    check(other_name)


@pytest.mark.parametrize("learner", ["fixed", "linucb disjoint", "thompson shared", "softmax shared"])
def test_every_traced_policy_passes_and_in_little_time(learner: str) -> None:
    """5 ms are the bound for 200 KB; the best of five, since others share this core."""
    raw, d, k = traced(learner)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        scan(raw, file="policy.onnx", d=d, k=k)
        times.append(time.perf_counter() - start)
    assert min(times) < 5e-3
    for other in ((d + 1, k), (d, k + 1)):
        with pytest.raises(FormatError, match=r"graph\.(input\.context|output\.action_ids)"):
            scan(raw, file="policy.onnx", d=other[0], k=other[1])


def outside(made: onnx.TensorProto, location: str) -> None:
    made.data_location = TensorProto.EXTERNAL
    made.ClearField("raw_data")
    made.external_data.add(key="location", value=location)


LOCATIONS = ("weights.bin", "../../etc/hostname", "/etc/hostname", "")


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("place", ["initializer", "attribute", "attribute tensors", "subgraph"])
def test_data_outside_the_file_is_refused_wherever_it_is(place: str, location: str) -> None:
    made, held = model(), tensor([1.0])
    outside(held, location)
    if place == "initializer":
        made.graph.initializer.append(held)
    elif place == "attribute":
        made.graph.node[0].attribute[0].t.CopyFrom(held)
    elif place == "attribute tensors":
        made.graph.node[0].attribute[0].tensors.append(held)
    else:
        made.graph.node[3].attribute[1].g.initializer.append(held)
    with pytest.raises(FormatError, match=r"external_data = there, need none|data_location = 1, need 0"):
        check(made)


def test_a_tensor_that_only_claims_to_lie_outside_is_refused() -> None:
    made = model()
    made.graph.node[0].attribute[0].t.data_location = TensorProto.EXTERNAL
    with pytest.raises(FormatError, match="data_location = 1, need 0"):
        check(made)


def _edit(change: Callable[[onnx.ModelProto], object]) -> Callable[[], onnx.ModelProto]:
    def edited() -> onnx.ModelProto:
        made = model()
        change(made)
        return made

    return edited


def _attribute(made: onnx.ModelProto) -> onnx.AttributeProto:
    attribute: onnx.AttributeProto = made.graph.node[0].attribute[0]
    return attribute


def _deep(made: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "g", [], [])
    for _ in range(MAX_DEPTH):
        node = helper.make_node("If", ["task"], ["y"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    made.graph.node[3].attribute[0].g.CopyFrom(graph)


def _dims(*dims: int) -> Callable[[onnx.ModelProto], object]:
    return lambda made: (_attribute(made).t.ClearField("dims"), _attribute(made).t.dims.extend(dims))


def _function(made: onnx.ModelProto) -> None:
    made.functions.add(name="f", domain="")


REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "another operator set": (
        lambda m: m.opset_import.add(domain="ai.onnx.ml", version=3),
        r"opset_import\[1\].domain = 'ai.onnx.ml', need ''",
    ),
    "an operator set twice": (lambda m: m.opset_import.add(domain="ai.onnx", version=3), "stated once"),
    "no operator set": (lambda m: m.ClearField("opset_import"), "opset_import = nothing"),
    "operator set of version 0": (lambda m: m.opset_import[0].ClearField("version"), "version 0, need"),
    "no graph": (lambda m: m.ClearField("graph"), "model.graph = nothing"),
    "no format version": (lambda m: m.ClearField("ir_version"), "ir_version = nothing"),
    "another domain": (lambda m: setattr(m.graph.node[2], "domain", "com.microsoft"), r"node\[2\].domain = 'com.micro"),
    "another domain within": (
        lambda m: setattr(m.graph.node[3].attribute[0].g.node[0], "domain", "x"),
        r"graph.node\[3\].attribute\[0\].g.node\[0\].domain = 'x'",
    ),
    "a function": (_function, "model.functions = there, need none in a policy"),
    "training": (lambda m: m.training_info.add(), "model.training_info = there"),
    "a sparse initializer": (lambda m: m.graph.sparse_initializer.add(), "sparse_initializer = there"),
    "a sparse attribute": (lambda m: _attribute(m).sparse_tensor.SetInParent(), "sparse_tensor = there"),
    "a reference to a function's attribute": (lambda m: setattr(_attribute(m), "ref_attr_name", "x"), "ref_attr_name"),
    "quantization": (lambda m: m.graph.quantization_annotation.add(), "quantization_annotation = there"),
    "an overload": (lambda m: setattr(m.graph.node[0], "overload", "x"), "overload = there"),
    "dice": (lambda m: setattr(m.graph.node[4], "op_type", "RandomUniform"), "'RandomUniform', need .*dice"),
    "no operator": (lambda m: m.graph.node[4].ClearField("op_type"), "op_type = ''"),
    "text in a tensor": (
        lambda m: _attribute(m).t.string_data.append(b"a"),
        "string_data = there",
    ),
    "a segment": (lambda m: _attribute(m).t.segment.SetInParent(), "segment = there"),
    "a type without size": (lambda m: setattr(_attribute(m).t, "data_type", 8), "data_type = 8, need a plain"),
    "dims that say more than there is": (_dims(2, 4), "raw_data = 48 bytes, need 64, as its dims say"),
    "dims that say less": (_dims(5), "raw_data = 48 bytes, need 40"),
    "negative dims": (_dims(-2, -3), r"dims = \[18446744073709551614"),
    "none of too many": (_dims(0, MAX_ELEMENTS + 1), f"and {MAX_ELEMENTS} elements"),
    "too many elements": (_dims(1 << 12, 1 << 12), f"and {MAX_ELEMENTS} elements"),
    "too many axes": (_dims(*[1] * 17), "at most 16"),
    "too long a list": (
        lambda m: m.graph.node[1].attribute[0].ints.extend([1] * MAX_LISTED),
        "more belong in a tensor",
    ),
    "numbers beside raw data": (lambda m: _attribute(m).t.double_data.append(1.0), "data in double_data"),
    "numbers of another type": (
        lambda m: (_attribute(m).t.ClearField("raw_data"), _attribute(m).t.float_data.extend([1.0] * 6)),
        "data in float_data",
    ),
    "too few numbers": (lambda m: m.graph.initializer[0].int64_data.pop(), "2 elements, need 3"),
    "no data": (lambda m: _attribute(m).t.ClearField("raw_data"), "0 elements, need 6"),
    "too deep": (_deep, f"graphs within each other, need at most {MAX_DEPTH}"),
    "too many nodes": (lambda m: m.graph.node.extend([m.graph.node[4]] * MAX_NODES), f"at most {MAX_NODES} in all"),
    "too many fields": (
        lambda m: m.graph.node[4].input.extend([""] * MAX_FIELDS),
        f"need at most {MAX_FIELDS}",
    ),
    "another input": (lambda m: setattr(m.graph.input[1], "name", "task_type"), "need context, task, uniform, prices"),
    "one output less": (lambda m: m.graph.output.pop(), "need action_ids, feasible, masses, slot, action_id"),
    "float32 for float64": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 1),
        r"graph.input.context = float32 \(3,\), need float64 \(3,\)",
    ),
    "an open shape": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "n"),
        r"context = float64 None, need float64 \(3,\)",
    ),
    "no shape": (lambda m: m.graph.input[1].type.tensor_type.ClearField("shape"), r"int32 None, need int32 \(\)"),
    "a sequence": (
        lambda m: m.graph.value_info.append(helper.make_tensor_sequence_value_info("s", 1, None)),
        "sequence_type = there",
    ),
    "an option": (lambda m: m.graph.value_info.add().type.optional_type.SetInParent(), "optional_type = there"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_policy_needs_is_refused(case: str) -> None:
    change, message = REFUSED[case]
    with pytest.raises(FormatError, match=message) as caught:
        check(_edit(change)())
    assert caught.value.file == "policy.onnx"


RAW: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "ir_version = nothing"),
    "text": (b"not a model", r"model(\.\w+)? = .*need"),
    "a tag that ends in the middle": (b"\x88", "a number cut off at byte 1"),
    "a number that ends in the middle": (b"\x08\xff", "a number cut off at byte 2"),
    "no number": (b"\x08", "a number cut off at byte 1"),
    "a number of eleven bytes": (b"\x08" + b"\x80" * 10 + b"\x01", "more than 10 bytes"),
    "a number of 65 bits": (b"\x08" + b"\xff" * 9 + b"\x02", "over 64 bits"),
    "a padded number": (b"\x08\x87\x00", "its shortest spelling"),
    "a length past the end": (b"\x12\x05abc", "2 bytes past its end"),
    "a length of 2^63": (b"\x12" + b"\x80" * 9 + b"\x01", "bytes past its end"),
    "a wrong wire type": (b"\x0d\x00\x00\x00\x00", "ir_version = wire type 5"),
    "a group": (b"\x0b\x0c", "ir_version = wire type 3"),
    "field 0": (b"\x00\x01", "unknown field number 0"),
    "an unknown field": (b"\xf8\x07\x01", "unknown field number 127"),
    "a field twice": (b"\x08\x07\x08\x08", "ir_version = said twice"),
    "a child past its parent": (b"\x08\x07\x42\x02\x10\x15\x3a\x02\x12\x05", r"graph\.name = 5 bytes past its end"),
}


@pytest.mark.parametrize("case", RAW)
def test_bytes_that_are_no_model_are_refused(case: str) -> None:
    raw, message = RAW[case]
    with pytest.raises(FormatError, match=message):
        scan(raw, file="policy.onnx", d=D, k=K)


def test_two_graphs_in_one_file_are_refused() -> None:
    """A parser would merge them, and a reader of the first alone would miss the second."""
    raw = model().SerializeToString()
    with pytest.raises(FormatError, match="model.graph = said twice"):
        scan(raw + b"\x3a\x00", file="policy.onnx", d=D, k=K)


def test_a_file_cut_off_anywhere_is_refused() -> None:
    made = model()
    made.ClearField("metadata_props")  # without it the last field is one that is needed
    raw = made.SerializeToString()
    scan(raw, file="policy.onnx", d=D, k=K)
    for at in range(len(raw)):
        with pytest.raises(FormatError):
            scan(raw[:at], file="policy.onnx", d=D, k=K)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_only_the_declared_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        scan(raw, file="policy.onnx", d=D, k=K)


VALID = model().SerializeToString()
EDITS = st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.binary(max_size=12)), max_size=4)


@settings(max_examples=1500, deadline=None)
@given(EDITS)
def test_an_edited_file_is_refused_or_is_still_a_model(edits: list[tuple[int, int, bytes]]) -> None:
    """Bytes cut out and put in: the declared error, or protobuf itself reads the same ports and nothing outside."""
    raw = VALID
    for at, n_cut, put in edits:
        raw = raw[:at] + put + raw[at + n_cut :]
    try:
        scan(raw, file="policy.onnx", d=D, k=K)
    except FormatError:
        return
    made = onnx.ModelProto.FromString(raw)
    assert [i.name for i in (*made.graph.input, *made.graph.output)] == list(PORTS)
    assert not made.functions and b"external" not in raw
