"""A traced ONNX graph in its plainest form: what does not depend on a request is computed once, here.

Tracing leaves sizes, conditions on them and constants in a graph. With every shape static they all
fold: no `If`, no duplicate, no dead node is left, and names and order depend on nothing but the
traced functions, so equal policies give equal bytes. Constants are computed by NumPy, as they are when
NumPy serves. Price: every input needs a static shape.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["folded"]

PASSES = 12  # each resolves the sizes that the one before made known
Known = NDArray[Any]


class _Facts(NamedTuple):
    """Element type and shape of each value of a graph whose shape is static."""

    kinds: dict[str, int]
    shapes: dict[str, tuple[int, ...]]


class _Made(NamedTuple):
    """What a pass has made so far: nodes, constants by name, and the names of what is there already."""

    nodes: list[Any]
    constants: dict[str, Known]
    names: dict[object, str]


def _onnx() -> Any:
    import onnx.reference  # optional: part of the export extra

    return onnx


def _facts(model: Any) -> _Facts:
    onnx = _onnx()
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    kinds, shapes = {}, {}
    for info in (*graph.input, *graph.value_info):
        tensor = info.type.tensor_type
        kinds[info.name] = tensor.elem_type
        if tensor.HasField("shape") and all(size.HasField("dim_value") for size in tensor.shape.dim):
            shapes[info.name] = tuple(size.dim_value for size in tensor.shape.dim)
    return _Facts(kinds, shapes)


def _attribute(node: Any, name: str) -> Any:
    onnx = _onnx()
    found = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    return found.get(name)


def _constant(made: _Made, value: Known) -> str:
    """The name of a constant; equal ones share theirs."""
    key = (value.dtype.str, value.shape, value.tobytes())
    if key not in made.names:
        made.names[key] = f"c{len(made.constants)}"
        made.constants[made.names[key]] = value
    return made.names[key]


def _computed(node: Any, inputs: list[Known]) -> list[Known]:
    """The outputs of one node, by NumPy."""
    onnx = _onnx()
    names = [f"i{i}" for i in range(len(inputs))]
    alone = onnx.helper.make_node(node.op_type, names, list(node.output))
    alone.attribute.extend(node.attribute)
    kinds = [onnx.helper.np_dtype_to_tensor_dtype(value.dtype) for value in inputs]
    rows = zip(names, kinds, (value.shape for value in inputs), strict=True)
    given = [onnx.helper.make_tensor_value_info(*row) for row in rows]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = onnx.helper.make_graph([alone], "one", given, outputs)
    found = onnx.reference.ReferenceEvaluator(onnx.helper.make_model(graph)).run(
        None, dict(zip(names, inputs, strict=True))
    )
    return [np.ascontiguousarray(value).reshape(np.shape(value)) for value in found]


def _emitted(made: _Made, node: Any, given: list[str]) -> list[str]:
    """The names of a node's outputs; of a node that is there already, those it has."""
    attributes = sorted(node.attribute, key=lambda item: str(item.name))
    written = tuple(item.SerializeToString(deterministic=True) for item in attributes)
    keys = [(node.op_type, tuple(given), written, i) for i in range(len(node.output))]
    if keys[0] not in made.names:
        made.names.update({key: f"v{len(made.nodes)}" + f"_{i}" * (i > 0) for i, key in enumerate(keys)})
        made.nodes.append(type(node)(op_type=node.op_type, input=given, output=[made.names[key] for key in keys]))
        made.nodes[-1].attribute.extend(attributes)
    return [made.names[key] for key in keys]


def _step(node: Any, made: _Made, names: dict[str, str], facts: _Facts) -> list[str]:
    """The new names of what one node gives: of a constant, of a value that is there, or of its own."""
    onnx = _onnx()
    given, first = [names[name] if name else "" for name in node.input], (*node.input, "")[0]
    if node.op_type == "Constant":
        return [_constant(made, onnx.numpy_helper.to_array(_attribute(node, "value")))]
    same_kind = node.op_type == "Cast" and facts.kinds.get(first) == _attribute(node, "to")
    if node.op_type == "Identity" or same_kind:
        return given[:1]
    if node.op_type == "Size" and first in facts.shapes:
        return [_constant(made, np.array(int(np.prod(facts.shapes[first])), np.int64))]
    if node.op_type == "If" and given[0] in made.constants:
        branch = _attribute(node, "then_branch" if made.constants[given[0]] else "else_branch")
        inside = dict(names)
        _walk(branch.node, made, inside, facts)
        return [inside[item.name] for item in branch.output]
    if given and all(name in made.constants for name in given):
        return [_constant(made, value) for value in _computed(node, [made.constants[name] for name in given])]
    return _emitted(made, node, given)


def _walk(nodes: Iterable[Any], made: _Made, names: dict[str, str], facts: _Facts) -> None:
    for node in nodes:
        names.update(zip(node.output, _step(node, made, names, facts), strict=True))


def _needed(nodes: list[Any], outputs: Iterable[str]) -> list[Any]:
    """The nodes that some output depends on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _once(model: Any) -> Any:
    """One pass over a model: the same functions with fewer nodes."""
    onnx = _onnx()
    graph, made = model.graph, _Made([], {}, {})
    names = {item.name: item.name for item in graph.input}
    names |= {item.name: _constant(made, onnx.numpy_helper.to_array(item)) for item in graph.initializer}
    _walk(graph.node, made, names, _facts(model))
    ends = [onnx.helper.make_node("Identity", [names[item.name]], [item.name]) for item in graph.output]
    nodes = [*_needed(made.nodes, (end.input[0] for end in ends)), *ends]
    used = {name for node in nodes for name in node.input}
    constants = [onnx.numpy_helper.from_array(v, name) for name, v in made.constants.items() if name in used]
    plain = onnx.helper.make_graph(nodes, "policy", graph.input, graph.output, constants)
    return onnx.helper.make_model(
        plain, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="guardband"
    )


def folded(model: Any) -> Any:
    """The same graph, with all that no input can change computed and all that nobody needs left out.

    Args:
        model: an `onnx.ModelProto` whose inputs have static shapes.

    Returns:
        Another one, of default operators only and without `If`.

    Raises:
        ValueError: a condition that does not fold, a function, or an operator of another domain.
    """
    for _ in range(PASSES):
        before, model = model, _once(model)
        if len(before.graph.node) == len(model.graph.node):
            break
    left = sorted({node.op_type for node in model.graph.node if node.op_type in ("If", "Loop", "Scan") or node.domain})
    if left or model.functions or any(item.domain for item in model.opset_import):
        raise ValueError(f"the traced graph keeps {left or 'functions'}, need default operators on static shapes only")
    return model
