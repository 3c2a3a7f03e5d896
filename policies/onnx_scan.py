"""An ONNX file looked through byte by byte before any runtime may open it; no package is needed.

The protobuf is walked by a list of what a traced policy may hold; the rest is refused, known to
ONNX or not: data outside the file, operators of other domains, functions, sparse and text
tensors, dice, a field said twice (readers differ on which one counts). It says that a file is
well formed and touches nothing but itself, not that it computes the policy.
Source: onnx.proto (field numbers); Protocol Buffers encoding (wire types).
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from policies.refusals import FormatError

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "MAX_FIELDS", "MAX_NODES", "scan"]

MAX_NODES = 20_000  # of all graphs together; the largest traced learner has 1,465
MAX_FIELDS = 1 << 19  # of the whole file, so that a file of empty fields is refused within a second
MAX_DEPTH = 8  # graphs within graphs; a traced `If` needs 2
MAX_ELEMENTS = 1 << 23  # of a tensor: 64 MB of float64, the largest file that is read
MAX_RANK = 16  # axes of a tensor
MAX_LISTED = 1 << 12  # numbers in an attribute or in dims
MAX_NUMBER = (1 << 31) - 1

DOMAINS = (b"", b"ai.onnx")  # two names of one operator set
DICE = {b"Bernoulli", b"Multinomial"} | {
    b"Random" + kind for kind in (b"Normal", b"NormalLike", b"Uniform", b"UniformLike")
}
BOOL, INT32, DOUBLE = 9, 6, 11
SIZES = {
    1: 4,
    2: 1,
    3: 1,
    4: 2,
    5: 2,
    6: 4,
    7: 8,
    9: 1,
    10: 2,
    11: 8,
    12: 4,
    13: 8,
}  # bytes per element, of plain types
NAMES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 11: "float64"}
TYPED = {  # fields of a tensor that hold its data as numbers, and for which element types
    **{"float_data": (1,), "double_data": (11,), "int64_data": (7,), "uint64_data": (12, 13)},
    "int32_data": (2, 3, 4, 5, 6, 9, 10),
}
HIGH = bytes(range(128, 256))  # bytes after which a varint goes on

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Span = tuple[int, int]  # first byte and the one after the last
Found = dict[str, list[Any]]  # of a message: name -> its values, an int or a span each, as the name's form says


class _Form(NamedTuple):
    """A kind of message: tag -> name of what it may hold, number -> name of what it may not, which fields repeat."""

    tags: Mapping[int, str]
    numbers: Mapping[int, str]
    repeated: frozenset[str]


def _form(allowed: str, refused: str = "") -> _Form:
    """From `number name kind` lists; a `*` marks what repeats, a kind ending in `p` what may also come packed.

    >>> _form("1 dims* vp, 9 raw_data b").tags
    {8: 'dims', 10: 'dims', 74: 'raw_data'}
    """
    wires = {"v": (VARINT,), "vp": (VARINT, BYTES), "b": (BYTES,), "f": (FIXED32,)}
    wires |= {"fp": (FIXED32, BYTES), "dp": (FIXED64, BYTES)}
    tags: dict[int, str] = {}
    repeated: set[str] = set()
    for number, name, kind in (item.split() for item in allowed.split(",")):
        repeated |= {name.rstrip("*")} if name.endswith("*") else set()
        tags |= {int(number) << 3 | wire: name.rstrip("*") for wire in wires[kind]}
    stranger = dict(item.split() for item in refused.split(",") if item)
    numbers = {tag >> 3: name for tag, name in tags.items()} | {int(number): name for number, name in stranger.items()}
    return _Form(tags, numbers, frozenset(repeated))


MODEL = _form(
    "1 ir_version v,2 producer_name b,3 producer_version b,4 domain b,5 model_version v,6 doc_string b,"
    "7 graph b,8 opset_import* b,14 metadata_props* b",
    "20 training_info,25 functions,26 configuration",
)
OPSET = _form("1 domain b,2 version v")
GRAPH = _form(
    "1 node* b,2 name b,5 initializer* b,10 doc_string b,11 input* b,12 output* b,13 value_info* b,"
    "16 metadata_props* b",
    "14 quantization_annotation,15 sparse_initializer",
)
NODE = _form(
    "1 input* b,2 output* b,3 name b,4 op_type b,5 attribute* b,6 doc_string b,7 domain b,9 metadata_props* b",
    "8 overload,10 device_configurations",
)
ATTRIBUTE = _form(
    "1 name b,2 f f,3 i v,4 s b,5 t b,6 g b,7 floats* fp,8 ints* vp,9 strings* b,10 tensors* b,11 graphs* b,"
    "13 doc_string b,20 type v",
    "14 tp,15 type_protos,21 ref_attr_name,22 sparse_tensor,23 sparse_tensors",
)
TENSOR = _form(
    "1 dims* vp,2 data_type v,4 float_data* fp,5 int32_data* vp,7 int64_data* vp,8 name b,9 raw_data b,"
    "10 double_data* dp,11 uint64_data* vp,12 doc_string b,14 data_location v,16 metadata_props* b",
    "3 segment,6 string_data,13 external_data",
)
VALUE = _form("1 name b,2 type b,3 doc_string b,4 metadata_props* b")
TYPE = _form(
    "1 tensor_type b,6 denotation b", "4 sequence_type,5 map_type,7 opaque_type,8 sparse_tensor_type,9 optional_type"
)
TENSOR_TYPE = _form("1 elem_type v,2 shape b")
SHAPE = _form("1 dim* b")
DIMENSION = _form("1 dim_value v,2 dim_param b,3 denotation b")
ENTRY = _form("1 key b,2 value b")


def scan(raw: bytes, *, file: str, d: int, k: int) -> None:
    """Refuse a file that is not the graph of a policy, closed in itself.

    Args:
        raw: content of the file.
        file: its name, for messages.
        d: entries of a context vector.
        k: slots of a window.

    Raises:
        FormatError: not a well-formed model; data outside the file; an operator domain other than that of
            ONNX; functions, training, sparse or text tensors, random operators; sizes that disagree, or lie above
            `MAX_NODES`, `MAX_FIELDS`, `MAX_DEPTH`, `MAX_ELEMENTS`; inputs or outputs that are not the policy's.
    """
    _Scan(raw, file).model(d, k)


def _ports(d: int, k: int) -> dict[str, dict[str, tuple[int, tuple[int, ...]]]]:
    """Name -> element type and shape of what goes in and comes out."""
    inputs = {"context": (DOUBLE, (d,)), "task": (INT32, ()), "uniform": (INT32, ()), "prices": (DOUBLE, (2,))}
    outputs = {"action_ids": (INT32, (k,)), "feasible": (BOOL, (k,)), "masses": (INT32, (k,))}
    return {"input": inputs, "output": outputs | {"slot": (INT32, ()), "action_id": (INT32, ())}}


class _Scan:
    """One walk over one file: its bytes, and how many nodes and fields it may still have."""

    def __init__(self, raw: bytes, file: str) -> None:
        self.raw, self.file = raw, file
        self.nodes_left, self.fields_left = MAX_NODES, MAX_FIELDS

    def refuse(self, where: str, got: object, needed: str) -> FormatError:
        text = got.decode("utf-8", "backslashreplace") if isinstance(got, bytes) else str(got)
        return FormatError(self.file, where, got=repr(text[:60]) if isinstance(got, bytes) else text, needed=needed)

    def varint(self, at: int, end: int, where: str) -> tuple[int, int]:
        """A varint of several bytes and the place after it."""
        value = 0
        for i in range(10):
            if at + i >= end:
                raise self.refuse(where, f"a number cut off at byte {at + i}", "the whole number")
            byte = self.raw[at + i]
            value |= (byte & 127) << 7 * i
            if byte < 128:
                break
        else:
            raise self.refuse(where, f"a number of more than 10 bytes at byte {at}", "at most 10")
        if value >> 64 or (i and not byte):
            raise self.refuse(where, f"a number at byte {at} of over 64 bits or padded", "its shortest spelling")
        return value, at + i + 1

    def read(self, form: _Form, span: Span, where: str) -> Found:
        """The fields of one message by name: numbers, and the place of what has a length."""
        raw, tags, found, left = self.raw, form.tags, Found(), self.fields_left
        at, end = span
        while at < end:
            left -= 1
            tag, at = (raw[at], at + 1) if raw[at] < 128 else self.varint(at, end, where)
            name = tags.get(tag)
            if name is None or left < 0:
                raise self._stranger(form, tag, where, left)
            wire = tag & 7
            if wire & 1:
                value: int | Span = (at, at := at + (4 if wire == FIXED32 else 8))
            else:
                value, at = (raw[at], at + 1) if at < end and raw[at] < 128 else self.varint(at, end, where)
                if wire == BYTES:
                    value = (at, at := at + value)
            if at > end:
                raise self.refuse(
                    f"{where}.{name}", f"{at - end} bytes past its end", f"an end at byte {end} or before"
                )
            if name not in found:
                found[name] = [value]
            elif name in form.repeated:
                found[name].append(value)
            else:
                raise self.refuse(f"{where}.{name}", "said twice", "once")
        self.fields_left = left
        return found

    def _stranger(self, form: _Form, tag: int, where: str, left: int) -> FormatError:
        """Why a field can't stand where it does."""
        number, wire = tag >> 3, tag & 7
        if left < 0:
            return self.refuse(where, f"field number {MAX_FIELDS + 1} of the file", f"at most {MAX_FIELDS}")
        if any(known >> 3 == number for known in form.tags):
            return self.refuse(f"{where}.{form.numbers[number]}", f"wire type {wire}", "the one of its type")
        if number in form.numbers:
            return self.refuse(f"{where}.{form.numbers[number]}", "there", "none in a policy")
        return self.refuse(where, f"unknown field number {number}", f"one of {', '.join(form.numbers.values())}")

    def text(self, found: Found, name: str) -> bytes:
        """The bytes of a field that has a length; empty where it is missing."""
        return self.raw[slice(*found[name][0])] if name in found else b""

    def model(self, d: int, k: int) -> None:
        model = self.read(MODEL, (0, len(self.raw)), "model")
        for name in ("ir_version", "graph", "opset_import"):
            if name not in model:
                raise self.refuse(f"model.{name}", "nothing", "a value")
        for i, span in enumerate(model.get("opset_import", ())):
            where = f"model.opset_import[{i}]"
            opset = self.read(OPSET, span, where)
            self.domain(opset, where)
            if i or not 1 <= _number(opset, "version") <= MAX_NUMBER:
                raise self.refuse(where, f"version {_number(opset, 'version')}", "one version >= 1, stated once")
        graph = self.graph(_span(model, "graph"), "graph", depth=1)
        for name, wanted in _ports(d, k).items():
            self.ports(graph.get(name, []), name, wanted)
        self.entries(model, "model")

    def domain(self, found: Found, where: str) -> None:
        if self.text(found, "domain") not in DOMAINS:
            raise self.refuse(f"{where}.domain", self.text(found, "domain"), "'' (or 'ai.onnx', the same)")

    def entries(self, found: Found, where: str) -> None:
        for i, span in enumerate(found.get("metadata_props", ())):
            self.read(ENTRY, span, f"{where}.metadata_props[{i}]")

    def graph(self, span: Span, where: str, depth: int) -> Found:
        if depth > MAX_DEPTH:
            raise self.refuse(where, f"{depth} graphs within each other", f"at most {MAX_DEPTH}")
        graph = self.read(GRAPH, span, where)
        nodes = graph.get("node", ())
        self.nodes_left -= len(nodes)
        if self.nodes_left < 0:
            raise self.refuse(where, f"more than {MAX_NODES} nodes", f"at most {MAX_NODES} in all graphs")
        for i, inner in enumerate(nodes):
            self.node(inner, f"{where}.node[{i}]", depth)
        for i, inner in enumerate(graph.get("initializer", ())):
            self.tensor(inner, f"{where}.initializer[{i}]")
        for name in ("input", "output", "value_info"):
            for i, inner in enumerate(graph.get(name, ())):
                self.value(inner, f"{where}.{name}[{i}]")
        self.entries(graph, where)
        return graph

    def node(self, span: Span, where: str, depth: int) -> None:
        node = self.read(NODE, span, where)
        if "domain" in node:
            self.domain(node, where)
        operator = self.text(node, "op_type")
        if not operator or operator in DICE:
            raise self.refuse(f"{where}.op_type", operator, "an operator, and none that rolls dice")
        for i, inner in enumerate(node.get("attribute", ())):
            self.attribute(inner, f"{where}.attribute[{i}]", depth)
        if "metadata_props" in node:
            self.entries(node, where)

    def attribute(self, span: Span, where: str, depth: int) -> None:
        attribute = self.read(ATTRIBUTE, span, where)
        for name in ("t", "tensors"):
            for inner in attribute.get(name, ()):
                self.tensor(inner, f"{where}.{name}")
        for name in ("g", "graphs"):
            for inner in attribute.get(name, ()):
                self.graph(inner, f"{where}.{name}", depth + 1)
        if "ints" in attribute:
            self.numbers(attribute["ints"], f"{where}.ints")
        for one in attribute.get("floats", ()):
            if isinstance(one, tuple) and (one[1] - one[0]) % 4:
                raise self.refuse(f"{where}.floats", f"{one[1] - one[0]} bytes", "four per number")

    def numbers(self, found: Sequence[int | Span], where: str) -> list[int]:
        """Repeated varints, which come one by one or packed."""
        values: list[int] = []
        for one in found:
            if isinstance(one, int):
                values.append(one)
                continue
            at, end = one
            while at < end and len(values) <= MAX_LISTED:
                value, at = self.varint(at, end, where)
                values.append(value)
        if len(values) > MAX_LISTED:
            raise self.refuse(
                where, f"more than {MAX_LISTED} numbers", f"at most {MAX_LISTED}; more belong in a tensor"
            )
        return values

    def tensor(self, span: Span, where: str) -> None:
        tensor = self.read(TENSOR, span, where)
        kind = _number(tensor, "data_type")
        if kind not in SIZES:
            raise self.refuse(f"{where}.data_type", kind, f"a plain element type, one of {', '.join(map(str, SIZES))}")
        if _number(tensor, "data_location"):
            raise self.refuse(f"{where}.data_location", _number(tensor, "data_location"), "0, the data in the file")
        dims = self.numbers(tensor["dims"], f"{where}.dims") if "dims" in tensor else []
        if len(dims) > MAX_RANK or max(dims, default=0) > MAX_ELEMENTS or prod(dims) > MAX_ELEMENTS:
            raise self.refuse(
                f"{where}.dims", repr(dims[:MAX_RANK]), f"at most {MAX_RANK}, and {MAX_ELEMENTS} elements"
            )
        size = prod(dims)
        start, end = _span(tensor, "raw_data")
        typed = tensor.keys() & TYPED.keys()
        if "raw_data" in tensor and not typed:
            if end - start != size * SIZES[kind]:
                raise self.refuse(f"{where}.raw_data", f"{end - start} bytes", f"{size * SIZES[kind]}, as its dims say")
        elif "raw_data" in tensor or len(typed) > 1 or (typed and kind not in TYPED[min(typed)]):
            raise self.refuse(
                where, f"data in {', '.join(sorted(typed))}", "it in raw_data or the field of its type alone"
            )
        else:
            n_held = self.held(tensor[min(typed)], f"{where}.{min(typed)}") if typed else 0
            if n_held != size:
                raise self.refuse(where, f"{n_held} elements", f"{size}, as its dims say")

    def held(self, found: Sequence[int | Span], where: str) -> int:
        """How many numbers a typed data field holds."""
        width = {"float_data": 4, "double_data": 8}.get(where.rpartition(".")[2], 0)
        count = 0
        for one in found:
            if isinstance(one, int):
                count += 1
                continue
            start, end = one
            count += (end - start) // width if width else len(self.raw[start:end].translate(None, HIGH))
            if (end - start) % width if width else end > start and self.raw[end - 1] > 127:
                raise self.refuse(where, f"a number cut off at byte {end}", "whole numbers")
        return count

    def value(self, span: Span, where: str) -> tuple[str, int, tuple[int, ...] | None]:
        """Name, element type and shape of a value; no shape where one is left open or not said."""
        value = self.read(VALUE, span, where)
        kind = self.read(TENSOR_TYPE, _span(self.read(TYPE, _span(value, "type"), where), "tensor_type"), where)
        dims = [
            self.read(DIMENSION, inner, f"{where}.dim[{i}]")
            for i, inner in enumerate(self.read(SHAPE, _span(kind, "shape"), where).get("dim", ()))
        ]
        known = "shape" in kind and all("dim_value" in dim and "dim_param" not in dim for dim in dims)
        shape = tuple(_number(dim, "dim_value") for dim in dims) if known else None
        return self.text(value, "name").decode("utf-8", "backslashreplace"), _number(kind, "elem_type"), shape

    def ports(self, spans: list[Span], name: str, wanted: Mapping[str, tuple[int, tuple[int, ...]]]) -> None:
        """Refuse inputs or outputs that are not those of a policy, in their order."""
        got = [self.value(span, f"graph.{name}[{i}]") for i, span in enumerate(spans)]
        names = [port for port, _, _ in got]
        if names != list(wanted):
            raise self.refuse(f"graph.{name}", repr(names)[:200], f"{', '.join(wanted)}, in this order")
        for port, kind, shape in got:
            if (kind, shape) != wanted[port]:
                need, size = wanted[port]
                told = NAMES.get(kind, f"element type {kind}")
                raise self.refuse(f"graph.{name}.{port}", f"{told} {shape}", f"{NAMES[need]} {size}")


def _span(found: Found, name: str) -> Span:
    """The place of a field that stands at most once; an empty one where it is missing."""
    span: Span = found[name][0] if name in found else (0, 0)
    return span


def _number(found: Found, name: str) -> int:
    return int(found[name][0]) if name in found else 0
