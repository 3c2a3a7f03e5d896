/**
 * Evaluates a policy's graph, `policy.onnx`: a reader of protobuf and the operators that traced policies are made of.
 *
 * Not a runtime for ONNX at large: float64, integers of 32 bits and booleans, shapes that never change, constants
 * within the file. What it does not know it refuses when the graph is read, not when a request comes.
 */

/** A bundle that can't be trusted or used: file, what was got, what was needed. */
export class BundleError extends Error {}

/** Refuses unless something holds. */
export function need(holds, file, got, needed) {
  if (!holds) throw new BundleError(`${file}: ${String(got).slice(0, 200)}, need ${needed}`);
}

const FILE = "policy.onnx";
const OUTPUTS = ["action_ids", "feasible", "masses", "slot", "action_id"];

// ---- The graph's file: protobuf -------------------------------------------------------------------------------------

/** The values of a protobuf message by field number: varints as numbers, all else as bytes. */
function message(bytes) {
  const found = {};
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      need(at < bytes.length, FILE, "a message cut short", "a whole one");
      value |= BigInt(bytes[at] & 127) << shift;
      if (bytes[at++] < 128) return Number(BigInt.asIntN(64, value));
    }
    return need(false, FILE, "an endless number", "64 bits");
  };
  while (at < bytes.length) {
    const tag = varint();
    const size = { 0: () => 0, 1: () => 8, 2: varint, 5: () => 4 }[tag & 7]?.();
    need(size >= 0 && at + size <= bytes.length, FILE, `field ${tag} of ${size} bytes`, "a whole message");
    (found[tag >>> 3] ??= []).push((tag & 7) === 0 ? varint() : bytes.subarray(at, (at += size)));
  }
  return found;
}

const utf8 = (bytes) => Buffer.from(bytes ?? []).toString("utf8");

/** Repeated integers stand one by one or packed into bytes; packed ones are read as fields of their own. */
function integers(values = []) {
  return values.flatMap((value) => {
    if (typeof value === "number") return [value];
    const apart = [...value].flatMap((byte, i) => (i === 0 || value[i - 1] < 128 ? [8, byte] : [byte]));
    return message(Uint8Array.from(apart))[1] ?? [];
  });
}

const BYTE = 2;
const BOOL = 9;
const DOUBLE = 11;
const INT32 = 6;
const INT64 = 7; // indices only, so 32 bits hold them; the largest stands for "to the end"
const INTEGERS = { [BYTE]: Uint8Array, [BOOL]: Uint8Array, [INT32]: Int32Array, [INT64]: Int32Array };
const KINDS = { ...INTEGERS, [DOUBLE]: Float64Array };

/** A tensor is {shape, data}; its data is a Float64Array, an Int32Array or, of booleans, a Uint8Array. */
function tensor(bytes) {
  const { 1: dims, 2: [kind] = [], 9: [raw] = [new Uint8Array()], 13: external } = message(bytes);
  const shape = integers(dims);
  need(kind in KINDS && !external, FILE, `a constant of type ${kind}`, "float64, int or bool, inside the file");
  const { buffer } = new Uint8Array(raw); // a copy, so that it is aligned
  const data = kind === INT64 ? Int32Array.from(new BigInt64Array(buffer), narrow) : new KINDS[kind](buffer);
  need(data.length === count(shape), FILE, `${data.length} values of shape ${shape}`, "as many as the shape");
  return { shape, data };
}

const narrow = (big) => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Number(big)));
const count = (shape) => shape.reduce((a, b) => a * b, 1);

// ---- The graph's operators ------------------------------------------------------------------------------------------
// Shapes never change from call to call, so where each value goes is worked out once per node (`once`).

const once = (node, make) => (node.plan ??= make());
const strides = (shape) => shape.map((_, i) => count(shape.slice(i + 1)));

/** For every place of an array of this shape, in order, the sum of its coordinates times some steps, plus a first. */
function walk(shape, steps, first = 0) {
  const places = new Int32Array(count(shape)).fill(first);
  let inner = places.length;
  shape.forEach((size, axis) => {
    inner /= size;
    for (let i = 0; i < places.length; i++) places[i] += (Math.floor(i / inner) % size) * steps[axis];
  });
  return places;
}

/** The shape of arrays broadcast together, and where each finds its value for every place of it. */
function broadcast(tensors) {
  const rank = Math.max(...tensors.map((t) => t.shape.length));
  const shapes = tensors.map((t) => [...Array(rank - t.shape.length).fill(1), ...t.shape]);
  const shape = Array.from({ length: rank }, (_, i) => shapes.map((s) => s[i]).find((n) => n !== 1) ?? 1);
  const fits = shapes.every((s) => s.every((n, i) => n === 1 || n === shape[i]));
  need(fits, FILE, shapes.join(" with "), "shapes that go together");
  return { shape, from: shapes.map((s) => walk(shape, strides(s).map((step, i) => (s[i] === 1 ? 0 : step)))) };
}

const unary = (apply, Kind) => (node, [x]) => {
  const data = new (Kind ?? x.data.constructor)(x.data.length);
  for (let i = 0; i < data.length; i++) data[i] = apply(x.data[i]);
  return [{ shape: x.shape, data }];
};

const binary = (apply, Kind) => (node, [a, b]) => {
  const { shape, from: [ofA, ofB] } = once(node, () => broadcast([a, b]));
  const data = new (Kind ?? a.data.constructor)(ofA.length);
  for (let i = 0; i < data.length; i++) data[i] = apply(a.data[ofA[i]], b.data[ofB[i]]);
  return [{ shape, data }];
};

function where(node, [condition, yes, no]) {
  const { shape, from: [ofC, ofY, ofN] } = once(node, () => broadcast([condition, yes, no]));
  const data = new yes.data.constructor(ofC.length);
  for (let i = 0; i < data.length; i++) data[i] = condition.data[ofC[i]] ? yes.data[ofY[i]] : no.data[ofN[i]];
  return [{ shape, data }];
}

/** Axes counted from the end made ones counted from the start. */
const axesOf = (axes, rank) => axes.map((axis) => (axis < 0 ? axis + rank : axis));

const reduce = (apply) => (node, [x, axes]) => {
  const { shape, into, first } = once(node, () => {
    const gone = new Set(axes ? axesOf([...axes.data], x.shape.length) : x.shape.keys());
    const kept = x.shape.map((size, i) => (gone.has(i) ? 1 : size));
    const into = walk(x.shape, strides(kept).map((step, i) => (gone.has(i) ? 0 : step)));
    const first = new Int32Array(count(kept));
    for (let i = into.length - 1; i >= 0; i--) first[into[i]] = i;
    return { shape: node.keepdims === 0 ? kept.filter((_, i) => !gone.has(i)) : kept, into, first };
  });
  const data = new x.data.constructor(first.length);
  for (let j = 0; j < data.length; j++) data[j] = x.data[first[j]];
  for (let i = 0; i < into.length; i++) if (first[into[i]] !== i) data[into[i]] = apply(data[into[i]], x.data[i]);
  return [{ shape, data }];
};

/** What only picks values, from places that are worked out once. */
const pick = (plan) => (node, inputs) => {
  const { shape, from } = once(node, () => plan(node, inputs));
  const data = new inputs[0].data.constructor(from.length);
  for (let i = 0; i < data.length; i++) data[i] = inputs[0].data[from[i]];
  return [{ shape, data }];
};

function slicePlan(node, [x, starts, ends, axes, steps]) {
  const [shape, by, own] = [[...x.shape], strides(x.shape), strides(x.shape)];
  let first = 0;
  axesOf([...(axes?.data ?? x.shape.keys())], x.shape.length).forEach((axis, i) => {
    const [size, step] = [x.shape[axis], steps?.data[i] ?? 1];
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const inside = (at) => Math.max(low, Math.min(high, at < 0 ? at + size : at));
    const start = Math.max(0, inside(starts.data[i]));
    shape[axis] = Math.max(0, Math.ceil((inside(ends.data[i]) - start) / step));
    first += start * own[axis];
    by[axis] = own[axis] * step;
  });
  return { shape, from: walk(shape, by, first) };
}

function transposePlan(node, [x]) {
  const order = node.perm ?? [...x.shape.keys()].reverse();
  const [shape, own] = [order.map((i) => x.shape[i]), strides(x.shape)];
  return { shape, from: walk(shape, order.map((i) => own[i])) };
}

/** What gives the same values another shape. */
const reshape = (shapeOf) => (node, [x, given]) => {
  const shape = once(node, () => shapeOf(x.shape, [...(given?.data ?? [])]));
  return [{ shape, data: x.data }];
};

function newShape(old, wanted) {
  const shape = wanted.map((size, i) => (size === 0 ? old[i] : size));
  return shape.map((size) => (size === -1 ? count(old) / -count(shape) : size));
}

function unsqueezed(old, axes) {
  const at = new Set(axesOf(axes, old.length + axes.length));
  const rest = [...old];
  return Array.from({ length: old.length + axes.length }, (_, i) => (at.has(i) ? 1 : rest.shift()));
}

function squeezed(old, axes) {
  const gone = new Set(axes.length ? axesOf(axes, old.length) : old.flatMap((size, i) => (size === 1 ? [i] : [])));
  return old.filter((_, i) => !gone.has(i));
}

function gather(node, [x, at]) {
  const [axis] = axesOf([node.axis ?? 0], x.shape.length);
  const [size, inner] = [x.shape[axis], count(x.shape.slice(axis + 1))];
  const shape = [...x.shape.slice(0, axis), ...at.shape, ...x.shape.slice(axis + 1)];
  const data = new x.data.constructor(count(shape));
  for (let i = 0; i < data.length; i++) {
    const row = Math.floor(i / inner);
    const [outer, place] = [Math.floor(row / at.data.length), at.data[row % at.data.length]];
    data[i] = x.data[(outer * size + (place < 0 ? place + size : place)) * inner + (i % inner)];
  }
  return [{ shape, data }];
}

function concat(node, parts) {
  const [axis] = axesOf([node.axis], parts[0].shape.length);
  const shape = parts[0].shape.map((size, i) => (i === axis ? parts.reduce((sum, p) => sum + p.shape[axis], 0) : size));
  const data = new parts[0].data.constructor(count(shape));
  let at = 0;
  for (let outer = 0; outer < count(shape.slice(0, axis)); outer++) {
    for (const part of parts) {
      const chunk = count(part.shape.slice(axis));
      data.set(part.data.subarray(outer * chunk, (outer + 1) * chunk), at);
      at += chunk;
    }
  }
  return [{ shape, data }];
}

/** (..., n, k) by (k, c); a vector on either side is a single row or column that the result does not have. */
function matmul(node, [a, b]) {
  const [k, c] = [a.shape.at(-1), b.shape[1] ?? 1];
  need(b.shape.length <= 2 && b.shape[0] === k, FILE, `MatMul of ${a.shape} by ${b.shape}`, "a matrix on the right");
  const data = new Float64Array((a.data.length / k) * c);
  for (let row = 0; row < a.data.length / k; row++) {
    for (let j = 0; j < k; j++) {
      const factor = a.data[row * k + j];
      for (let column = 0; column < c; column++) data[row * c + column] += factor * b.data[j * c + column];
    }
  }
  return [{ shape: [...a.shape.slice(0, -1), ...b.shape.slice(1)], data }];
}

function cumulative(node, [x]) {
  need(x.shape.length === 1 && !node.exclusive && !node.reverse, FILE, "another CumSum", "a plain one of a vector");
  const data = x.data.slice();
  for (let i = 1; i < data.length; i++) data[i] += data[i - 1];
  return [{ shape: x.shape, data }];
}

function sorted(node, [x, k]) {
  need(x.shape.length === 1 && k.data[0] === x.shape[0], FILE, "a TopK of some", "one of a whole vector");
  const sign = node.largest === 0 ? 1 : -1;
  const order = Int32Array.from(x.data.keys()).sort((i, j) => sign * (x.data[i] - x.data[j]) || i - j);
  return [{ shape: x.shape, data: x.data.map((_, i) => x.data[order[i]]) }, { shape: x.shape, data: order }];
}

function cast(node, [x]) {
  const data = node.to === BOOL ? Uint8Array.from(x.data, Boolean) : new KINDS[node.to](x.data);
  return [{ shape: x.shape, data }];
}

const OPERATORS = {
  Abs: unary(Math.abs),
  Add: binary((a, b) => a + b),
  And: binary((a, b) => a & b),
  BitwiseXor: binary((a, b) => a ^ b),
  Cast: cast,
  Ceil: unary(Math.ceil),
  Concat: concat,
  CumSum: cumulative,
  Div: binary((a, b) => a / b), // of integers too: their array cuts the fraction off
  Equal: binary((a, b) => a === b, Uint8Array),
  Exp: unary(Math.exp),
  Floor: unary(Math.floor),
  Gather: gather,
  Greater: binary((a, b) => a > b, Uint8Array),
  GreaterOrEqual: binary((a, b) => a >= b, Uint8Array),
  Identity: (node, inputs) => inputs,
  IsNaN: unary(Number.isNaN, Uint8Array),
  Less: binary((a, b) => a < b, Uint8Array),
  LessOrEqual: binary((a, b) => a <= b, Uint8Array),
  Log: unary(Math.log),
  MatMul: matmul,
  Max: binary(Math.max),
  Min: binary(Math.min),
  Mod: binary((a, b) => a - b * Math.floor(a / b)),
  Mul: binary((a, b) => a * b),
  Neg: unary((a) => -a),
  Not: unary((a) => 1 - a),
  Or: binary((a, b) => a | b),
  ReduceMax: reduce(Math.max),
  ReduceMin: reduce(Math.min),
  ReduceProd: reduce((a, b) => a * b),
  ReduceSum: reduce((a, b) => a + b),
  Reshape: reshape(newShape),
  Slice: pick(slicePlan),
  Sqrt: unary(Math.sqrt),
  Squeeze: reshape(squeezed),
  Sub: binary((a, b) => a - b),
  TopK: sorted,
  Transpose: pick(transposePlan),
  Unsqueeze: reshape(unsqueezed),
  Where: where,
};

/** A node of the graph: operator, names in and out, and its attributes, which are integers throughout. */
function nodeOf(bytes) {
  const { 1: inputs = [], 2: outputs = [], 4: [operator], 5: attributes = [], 7: [domain] = [] } = message(bytes);
  const run = Object.hasOwn(OPERATORS, utf8(operator)) && utf8(domain) === "" ? OPERATORS[utf8(operator)] : null;
  need(run, FILE, `operator ${utf8(operator)}`, `one of ${Object.keys(OPERATORS).join(" ")}`);
  const named = attributes.map(message).map((a) => [utf8(a[1]?.[0]), a[8] ? integers(a[8]) : (a[3]?.[0] ?? 0)]);
  return { run, inputs: inputs.map(utf8), outputs: outputs.map(utf8), ...Object.fromEntries(named) };
}

/**
 * A function of {context, task, uniform, prices} that gives {action_ids, feasible, masses, slot, action_id}.
 *
 * @param {Uint8Array} bytes an ONNX model as `policies.graph.trace` writes it
 * @throws {BundleError} an operator or a kind of constant that this reader does not know
 */
export function readGraph(bytes) {
  const graph = message(message(bytes)[7]?.[0] ?? []);
  const constants = new Map((graph[5] ?? []).map((raw) => [utf8(message(raw)[8]?.[0]), tensor(raw)]));
  const nodes = (graph[1] ?? []).map(nodeOf);
  need(nodes.length, FILE, "no graph", "one");
  return ({ context, task, uniform, prices }) => {
    const values = new Map(constants);
    values.set("context", { shape: [context.length], data: Float64Array.from(context) });
    values.set("task", { shape: [], data: Int32Array.of(task) });
    values.set("uniform", { shape: [], data: Int32Array.of(uniform) });
    values.set("prices", { shape: [2], data: Float64Array.from(prices) });
    for (const node of nodes) {
      const given = node.inputs.map((name) => values.get(name));
      node.run(node, given).forEach((value, i) => values.set(node.outputs[i], value));
    }
    const [action_ids, feasible, masses, slot, action_id] = OUTPUTS.map((name) => values.get(name).data);
    return { action_ids, feasible, masses, slot: slot[0], action_id: action_id[0] };
  };
}
