/**
 * Reads a policy bundle and answers requests from it: plain JavaScript, nothing but Node's own modules.
 *
 * The bundle is checked (files, sizes, digests, signature, evidence, golden cases), then `policy.onnx` is evaluated by
 * `policy_graph.mjs`, so one reader serves every kind of policy. A bad bundle is an exception. Bad data in a request
 * never is: it gets the approved parameters of its task type, or the fallback, with the reason.
 *
 *     node read_bundle.mjs DIR [KEY] < requests.jsonl > answers.jsonl      KEY: Ed25519, 64 hex digits
 *
 * A request is {"features": {...}, "task_type": "...", "request_id": "...", "prices": [1, 1]}; prices may be left out.
 */

import { createHash, createHmac, createPublicKey, verify } from "node:crypto";
import { lstatSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { BundleError, need, readGraph } from "./policy_graph.mjs";

export { BundleError, readGraph };

const TOTAL = 2 ** 20;
const LARGEST = 2 ** 26; // bytes of a file
const VERSION = "2.0";
const FIELDS =
  "actions approvals created_by digest evidence fallback features files format_version golden " +
  "hard_limits policy previous reward sampling task_types trust_region waivers";
const [MANIFEST, POLICY, GRAPH, SIGNATURE] = ["manifest.json", "policy.json", "policy.onnx", "manifest.sig"];
const ALLOWED = [MANIFEST, POLICY, GRAPH, SIGNATURE, "MODEL_CARD.md"];
const RAW_KEY = Buffer.from("302a300506032b6570032100", "hex"); // what stands before a raw Ed25519 key in DER
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const OPTIONAL = ["model_name", "prompt_tokens", "prior_failures"]; // null where unknown
const DEFAULTS = { risk_tier: 2, has_external_deps: false, complexity_indicators: [] }; // of all other counts: 0
for (const name of OPTIONAL) DEFAULTS[name] = null;

// ---- The bundle -----------------------------------------------------------------------------------------------------

/** The canonical form of a JSON text (sorted keys, no spaces, ASCII; numbers as written), without one top-level key. */
function canonical(text, without) {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
  let at = 0;
  const escaped = (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const ascii = (token) => JSON.stringify(JSON.parse(token)).replace(/[^ -~]/g, escaped);
  const value = (depth) => {
    const token = tokens[at++];
    if (token[0] === '"') return ascii(token);
    if (token !== "{" && token !== "[") return token;
    const [members, keys] = [[], new Set()];
    while (!"}]".includes(tokens[at])) {
      if (tokens[at] === ",") at++;
      const key = token === "{" ? ascii(tokens[at]) : members.length;
      need(!keys.has(key), MANIFEST, `the key ${key} twice`, "every key once");
      keys.add(key);
      if (token === "{") at += 2;
      const child = value(depth + 1);
      if (depth > 0 || key !== without) members.push(token === "{" ? [key, `${key}:${child}`] : ["", child]);
    }
    at++;
    if (token === "{") members.sort(([a], [b]) => (a < b ? -1 : 1));
    const inside = members.map(([, text]) => text).join(",");
    return token === "{" ? `{${inside}}` : `[${inside}]`;
  };
  return value(0);
}

function readFile(dir, name) {
  const facts = lstatSync(join(dir, name));
  need(facts.isFile(), name, "a link or a folder", "a plain file");
  need(facts.size <= LARGEST, name, `${facts.size} bytes`, `at most ${LARGEST}`);
  return readFileSync(join(dir, name));
}

function parseManifest(raw) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
    return [JSON.parse(text), text];
  } catch (error) {
    throw new BundleError(`${MANIFEST}: ${error.message}, need JSON`);
  }
}

/** The manifest and the files it names, once every byte is what the manifest says it is. */
function checkedFiles(dir, key) {
  dir = realpathSync(dir); // once: a store's link may move while its files are read
  const names = readdirSync(dir);
  for (const name of names) need(ALLOWED.includes(name), dir, `has ${name}`, `only ${ALLOWED.join(", ")}`);
  need(names.includes(MANIFEST), dir, `no ${MANIFEST}`, "a bundle");
  const raw = readFile(dir, MANIFEST);
  if (key) {
    need(names.includes(SIGNATURE), SIGNATURE, "no such file", "a signature, as a key was given");
    const trusted = createPublicKey({ key: Buffer.concat([RAW_KEY, key]), format: "der", type: "spki" });
    need(verify(null, raw, trusted, readFile(dir, SIGNATURE)), SIGNATURE, "another signature", "one by the key given");
  }
  const [manifest, text] = parseManifest(raw);
  need(manifest?.format_version === VERSION, MANIFEST, `format_version ${shown(manifest?.format_version)}`, VERSION);
  const fields = Object.keys(manifest).sort().join(" ");
  need(fields === FIELDS, MANIFEST, `the fields ${fields}`, FIELDS);
  need(Array.isArray(manifest.golden) && manifest.golden.length >= 32, MANIFEST, "fewer golden cases", "at least 32");
  const digest = sha256(canonical(text, '"digest"')).toString("hex");
  need(manifest.digest === digest, MANIFEST, `digest ${manifest.digest}`, digest);
  const listed = Object.keys(manifest.files);
  const expected = [...listed, MANIFEST, ...(names.includes(SIGNATURE) ? [SIGNATURE] : [])].sort().join(" ");
  need([...names].sort().join(" ") === expected, dir, names.join(" "), expected);
  const files = Object.fromEntries(listed.map((name) => [name, readFile(dir, name)]));
  for (const [name, { sha256: wanted, bytes }] of Object.entries(manifest.files)) {
    need(files[name].length === bytes, name, `${files[name].length} bytes`, bytes);
    need(sha256(files[name]).toString("hex") === wanted, name, "another sha256", wanted);
  }
  need(manifest.files[POLICY]?.sha256 === manifest.policy.digest, MANIFEST, "policy.digest", `the sha256 of ${POLICY}`);
  need(files[GRAPH], GRAPH, "no such file", "the graph of the policy, which this reader evaluates");
  return { manifest, graph: files[GRAPH] };
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** The milliseconds of a time in UTC, NaN for any other spelling and for a day that is none. */
function momentOf(text) {
  const at = TIME.test(text) ? Date.parse(text) : NaN;
  return at && new Date(at).toISOString() === text.replace("Z", ".000Z") ? at : NaN;
}

/** Refuses evidence that does not carry the policy, unless a waiver does, and any waiver that has ended. */
function checkEvidence({ evidence, waivers }, now) {
  waivers.forEach(({ expires }, i) => {
    const time = new Date(now).toISOString();
    need(momentOf(expires) > now, MANIFEST, `waivers[${i}].expires ${shown(expires)}`, `a time after ${time}`);
  });
  if (waivers.some((one) => one.waives.includes("gate"))) return;
  const { verdict, lower_bound: lowest } = evidence;
  need(verdict === "approved", MANIFEST, `evidence.verdict ${shown(verdict)}`, '"approved", or a waiver of "gate"');
  const isUp = typeof lowest === "number" && lowest >= 0;
  need(isUp, MANIFEST, `evidence.lower_bound ${shown(lowest)}`, 'a number >= 0, or a waiver of "gate"');
}

// ---- A request ------------------------------------------------------------------------------------------------------

/** What is wrong with a request; never leaves this module. */
class BadData extends Error {}

function wanted(holds, name, got, needed) {
  if (!holds) throw new BadData(`${name} = ${shown(got)}, need ${needed}`);
}

function shown(value) {
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 60);
  } catch {
    return typeof value;
  }
}

const isText = (value) => typeof value === "string" && value.isWellFormed();

/** Whether a value is of an input's kind and within its range. */
function isOfKind(value, { kind, lowest, highest }) {
  if (kind === "integer") return Number.isSafeInteger(value) && value >= lowest && value <= highest;
  if (kind === "boolean") return typeof value === "boolean";
  return kind === "text" ? isText(value) : Array.isArray(value) && value.every(isText);
}

/** The context vector of a request's features. */
function encode({ inputs, entries, models, clip }, features) {
  const isObject = features !== null && typeof features === "object" && !Array.isArray(features);
  wanted(isObject, "features", features, "an object with some of the features");
  const names = inputs.map((one) => one.name);
  const unknown = Object.keys(features).find((name) => !names.includes(name));
  wanted(unknown === undefined, "features", unknown, `some of ${names.join(" ")}`);
  const task = { ...Object.fromEntries(names.map((name) => [name, 0])), ...DEFAULTS, ...features };
  for (const one of inputs) {
    const value = task[one.name];
    const range = one.kind === "integer" ? ` in [${one.lowest}, ${one.highest}]` : "";
    wanted((value === null && OPTIONAL.includes(one.name)) || isOfKind(value, one), one.name, value, one.kind + range);
  }
  const fixed = {
    risk_tier: () => task.risk_tier - 2,
    has_external_deps: () => 2 * task.has_external_deps - 1,
    complexity_indicators: () => task.complexity_indicators.length - 2,
    missing: () => entries.filter((one) => "centre" in one && task[one.name] === null).length,
  };
  const scaled = (count, { centre, scale }) => (count === null ? 0 : (Math.log1p(count) - centre) / scale);
  const vector = entries.map((one) => ("centre" in one ? scaled(task[one.name], one) : fixed[one.name]()));
  if (models.length > 1) {
    wanted(models.includes(task.model_name), "model_name", task.model_name, `one of ${models.join(" ")}`);
    vector.push(...models.map((model) => Number(task.model_name === model)));
  }
  return vector.map((entry) => Math.max(-clip, Math.min(clip, entry)));
}

function checkedId(requestId) {
  const size = isText(requestId) ? Buffer.byteLength(requestId) : 0;
  wanted(size > 0 && size <= 1024, "request_id", requestId, "1 to 1024 bytes of UTF-8");
  return requestId;
}

/** The last bits of the 8 bytes that a hash begins with, as a number; bits <= 32. */
const lastBits = (hash, bits) => hash.readUInt32BE(4) % 2 ** bits;
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const uniformOf = (requestId, key) => lastBits(hmac(key, `guardband.draw\n${requestId}`), 20);
const seedOf = (requestId) => lastBits(sha256(`guardband.seed\n${requestId}`), 31);

/** Two relative prices of tokens. */
function checkedPrices(prices) {
  const isPrice = (price) => typeof price === "number" && price >= 0 && price <= 1e6;
  const arePrices = Array.isArray(prices) && prices.length === 2 && prices.every(isPrice);
  wanted(arePrices, "prices", prices, "two numbers in [0, 1e6]");
  return prices;
}

// ---- The reader -----------------------------------------------------------------------------------------------------

/** The generation parameters of an action, under their names; the first axis counts slowest. */
function parametersOf(axes, actionId) {
  let rest = actionId;
  const values = [...axes].reverse().map(({ name, parameter, values }) => {
    const value = values[rest % values.length];
    rest = Math.floor(rest / values.length);
    return [parameter, name === "model" ? value : Number(value)];
  });
  return Object.fromEntries(values.reverse().filter(([, value]) => value !== ""));
}

/** The slot that a uniform draws: the first whose cumulative mass exceeds it. */
function drawn(masses, uniform) {
  let sum = 0;
  return masses.findIndex((mass) => (sum += mass) > uniform);
}

/** Refuses a bundle whose graph gives other answers than those recorded when it was exported. */
function checkGolden(manifest, graph, key) {
  const kinds = manifest.task_types.map((one) => one.name);
  manifest.golden.forEach((golden, i) => {
    const where = `${MANIFEST}: golden[${i}]`;
    const given = { context: encode(manifest.features, golden.features), task: kinds.indexOf(golden.task_type) };
    const { masses, action_ids } = graph({ ...given, uniform: golden.uniform, prices: [1, 1] });
    const gap = Math.max(...masses.map((mass, slot) => Math.abs(mass - golden.masses[slot])));
    const isNear = masses.length === golden.masses.length && gap <= 1;
    need(isNear, where, `masses that differ by ${gap}`, "by at most 1 of 2^20");
    const mine = [uniformOf(golden.request_id, key), seedOf(golden.request_id)];
    need(mine[0] === golden.uniform && mine[1] === golden.seed, where, mine, `${golden.uniform}, ${golden.seed}`);
    const actions = golden.actions.map(([uniform]) => action_ids[drawn(golden.masses, uniform)]);
    need(actions.every((id, j) => id === golden.actions[j][1]), where, actions, "the actions recorded");
  });
}

/**
 * A reader of one bundle: `recommend(features, taskType, requestId, prices?)`.
 *
 * @param {string} dir the bundle's folder
 * @param {{key?: Uint8Array, now?: number}} options key: 32 raw bytes of the Ed25519 key that must have signed; without
 *     one the bundle is checked against its own digests only. now: milliseconds since 1970 by which waivers end
 * @throws {BundleError} a bundle that is not whole, not of this format, not signed by the key, whose evidence does not
 *     carry it, or which does not replay
 */
export function readBundle(dir, { key, now = Date.now() } = {}) {
  let found;
  try {
    const { manifest, graph: raw } = checkedFiles(dir, key);
    checkEvidence(manifest, now);
    found = prepared(manifest, readGraph(raw));
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError(`${dir}: ${error.message}, need a bundle that can be read`, { cause: error });
  }
  return found;
}

function prepared(manifest, graph) {
  const [key, axes] = [Buffer.from(manifest.policy.digest, "hex"), manifest.actions.axes];
  checkGolden(manifest, graph, key);
  const context = encode(manifest.features, { model_name: manifest.features.models[0] ?? null });
  const anything = { context, uniform: 0, prices: [1, 1] };
  const windows = manifest.task_types.map((_, task) => graph({ ...anything, task }).action_ids);
  const digests = { policy_digest: manifest.policy.digest, bundle_digest: manifest.digest };

  function answer(kind, actionId, requestId) {
    const parameters = parametersOf(axes, actionId);
    parameters["gen_ai.request.stop_sequences"] = [...(kind?.stop_sequences ?? [])];
    const isGood = isText(requestId) && requestId !== "" && Buffer.byteLength(requestId) <= 1024;
    return isGood ? { ...parameters, "gen_ai.request.seed": seedOf(requestId) } : parameters;
  }

  /** What a request gets that can't be put to the policy: its task type's approved parameters, or the fallback. */
  function settled(task, requestId, why) {
    const kind = manifest.task_types[task];
    const { action_id } = kind?.approved ?? manifest.fallback;
    const action_ids = kind ? windows[task].slice() : Int32Array.of(action_id);
    const masses = new Int32Array(action_ids.length);
    masses[kind ? (masses.length - 1) / 2 : 0] = TOTAL; // the approved action is the window's centre
    const reason = `${kind ? "approved parameters" : "fallback"}: ${why}`;
    const parameters = answer(kind, action_id, requestId);
    return { parameters, action_id, propensity: 1, masses, action_ids, uniform: null, reason, ...digests };
  }

  function recommend(features, taskType, requestId, prices = [1, 1]) {
    const task = manifest.task_types.findIndex((one) => one.name === taskType);
    const known = manifest.task_types.map((one) => one.name).join(" ");
    if (task < 0) return settled(task, requestId, `task_type = ${shown(taskType)}, need one of ${known}`);
    let asked;
    try {
      asked = { context: encode(manifest.features, features), task, prices: checkedPrices(prices) };
      asked.uniform = uniformOf(checkedId(requestId), key);
    } catch (error) {
      return settled(task, requestId, error.message);
    }
    const { action_ids, masses, slot, action_id } = graph(asked);
    const parameters = answer(manifest.task_types[task], action_id, requestId);
    const drawn = { action_id, propensity: masses[slot] / TOTAL, masses, action_ids, uniform: asked.uniform };
    return { parameters, ...drawn, reason: "", ...digests };
  }

  return { manifest, recommend };
}

// ---- The command ----------------------------------------------------------------------------------------------------

async function main([dir, key]) {
  const bundle = readBundle(dir, key ? { key: Buffer.from(key, "hex") } : {});
  for await (const line of createInterface({ input: process.stdin })) {
    let asked = null;
    try {
      asked = JSON.parse(line);
    } catch {
      // not JSON: answered like any request that says nothing
    }
    const { features, task_type, request_id, prices } = asked ?? {};
    const found = bundle.recommend(features, task_type, request_id, prices);
    const lists = { masses: [...found.masses], action_ids: [...found.action_ids] };
    process.stdout.write(`${JSON.stringify({ ...found, ...lists })}\n`);
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
