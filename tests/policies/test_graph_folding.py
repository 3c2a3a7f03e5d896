"""Folding: the same function with fewer nodes, and names that depend on nothing but the graph."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from policies.graph_folding import folded

X = helper.make_tensor_value_info("x", TensorProto.DOUBLE, [3])
Y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, [3])


def constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value), name))


def model(*nodes, inputs=(X,)):
    graph = helper.make_graph(nodes, "any name", list(inputs), [Y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, doc_string="words")


def branch(name, *nodes):
    last = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.DOUBLE, [3])
    return helper.make_graph(nodes, name, [], [last])


def sized():
    """-x where x has any entry, x otherwise, then plus 2 + 3, told at length."""
    inner = branch("then", constant("unused", 0.0), helper.make_node("Identity", ["x"], ["a"]))
    other = branch("else", helper.make_node("Neg", ["x"], ["b"]))
    return model(
        constant("two", 2.0),
        constant("three", 3.0),
        constant("zero", np.int64(0)),
        helper.make_node("Size", ["x"], ["size"]),
        helper.make_node("Equal", ["size", "zero"], ["is_empty"]),
        helper.make_node("If", ["is_empty"], ["turned"], then_branch=inner, else_branch=other),
        helper.make_node("Add", ["two", "three"], ["five"]),
        helper.make_node("Exp", ["x"], ["nobody needs it"]),
        helper.make_node("Cast", ["turned"], ["same"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["same", "five"], ["y"]),
    )


def run(made, x):
    return ort.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]


def test_what_no_input_changes_is_computed_and_the_rest_is_the_same_function() -> None:
    plain = folded(sized())
    assert [node.op_type for node in plain.graph.node] == ["Neg", "Add", "Identity"]
    assert [numpy_helper.to_array(item).item() for item in plain.graph.initializer] == [5.0]
    x = np.array([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(run(plain, x), 5.0 - x)
    np.testing.assert_array_equal(run(sized(), x), 5.0 - x)


def test_equal_nodes_and_equal_constants_are_one() -> None:
    nodes = [constant(f"c{i}", 2.0) for i in range(2)]
    nodes += [helper.make_node("Mul", ["x", f"c{i}"], [f"m{i}"]) for i in range(2)]
    plain = folded(model(*nodes, helper.make_node("Add", ["m0", "m1"], ["y"])))
    assert [node.op_type for node in plain.graph.node] == ["Mul", "Add", "Identity"]
    assert len(plain.graph.initializer) == 1


def test_minus_zero_and_zero_are_two_constants() -> None:
    nodes = [constant("a", 0.0), constant("b", -0.0)]
    nodes += [helper.make_node("Div", ["x", name], [f"over {name}"]) for name in "ab"]
    plain = folded(model(*nodes, helper.make_node("Sub", ["over a", "over b"], ["y"])))
    assert np.isposinf(run(plain, np.ones(3))).all()


def test_names_and_words_of_the_tracer_leave_no_trace() -> None:
    first, second = sized(), sized()
    for node in second.graph.node:
        node.name, node.doc_string = f"called {node.output[0]}", "anything"
    second.producer_name, second.graph.name = "another", "another"
    assert folded(first).SerializeToString() == folded(second).SerializeToString()
    assert folded(folded(first)).SerializeToString() == folded(first).SerializeToString()
    onnx.checker.check_model(folded(first), full_check=True)


def test_a_condition_on_the_input_is_refused() -> None:
    nodes = [
        constant("zero", 0.0),
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", "zero"], ["is_positive"]),
        helper.make_node(
            "If",
            ["is_positive"],
            ["y"],
            then_branch=branch("then", helper.make_node("Identity", ["x"], ["a"])),
            else_branch=branch("else", helper.make_node("Neg", ["x"], ["b"])),
        ),
    ]
    with pytest.raises(ValueError, match=r"keeps \['If'\], need default operators on static shapes"):
        folded(model(*nodes))
