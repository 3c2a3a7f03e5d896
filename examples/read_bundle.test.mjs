/**
 * The reader against a bundle on disk: BUNDLE=DIR node --test read_bundle.test.mjs
 *
 * Every change to a copy of the bundle is refused; every bad request is answered.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { BundleError, readBundle } from "./read_bundle.mjs";

const BUNDLE = process.env.BUNDLE;
const TOTAL = 2 ** 20;
const bundle = readBundle(BUNDLE);
const { golden, task_types: kinds, fallback } = bundle.manifest;

/** Hands a changed copy of the bundle to `use`, then removes it. */
function changed(change, use) {
  const dir = join(mkdtempSync(join(tmpdir(), "bundle-")), "copy");
  cpSync(BUNDLE, dir, { recursive: true });
  change(dir);
  use(dir);
  rmSync(join(dir, ".."), { recursive: true });
}

const refused = (change, told, options) =>
  changed(change, (dir) =>
    assert.throws(
      () => readBundle(dir, options),
      (error) => error instanceof BundleError && told.test(error.message),
    ),
  );

/** The mass of the action chosen; slots outside the lattice repeat the approved action's id, with mass 0. */
const massOf = ({ masses, action_ids, action_id }) =>
  masses.reduce((sum, mass, slot) => sum + (action_ids[slot] === action_id ? mass : 0), 0);

function edit(dir, name, change) {
  writeFileSync(join(dir, name), change(readFileSync(join(dir, name))));
}

test("golden cases come out as recorded", () => {
  assert.ok(golden.length >= 32);
  for (const one of golden) {
    const found = bundle.recommend(one.features, one.task_type, one.request_id);
    assert.equal(found.reason, "");
    assert.equal(found.uniform, one.uniform);
    assert.equal(found.parameters["gen_ai.request.seed"], one.seed);
    assert.ok(found.masses.every((mass, slot) => Math.abs(mass - one.masses[slot]) <= 1));
    assert.equal(found.masses.reduce((a, b) => a + b), TOTAL);
    assert.equal(found.propensity, massOf(found) / TOTAL);
  }
});

test("an answer has its parameters under their names", () => {
  const { features, task_type, request_id } = golden[5];
  const { parameters, policy_digest, bundle_digest } = bundle.recommend(features, task_type, request_id);
  assert.equal(typeof parameters["gen_ai.request.temperature"], "number");
  assert.equal(parameters["gen_ai.request.max_tokens"] % 1, 0);
  assert.ok(Array.isArray(parameters["gen_ai.request.stop_sequences"]));
  assert.match(`${policy_digest} ${bundle_digest}`, /^[0-9a-f]{64} [0-9a-f]{64}$/);
});

test("a flipped bit is refused in every file, wherever it is", () => {
  for (const name of readdirSync(BUNDLE)) {
    const size = readFileSync(join(BUNDLE, name)).length;
    for (const share of [0, 0.21, 0.5, 0.77, 0.999]) {
      const at = Math.floor(share * size);
      const flip = (raw) => raw.fill(raw[at] ^ 1, at, at + 1);
      if (name !== "manifest.sig") refused((dir) => edit(dir, name, flip), /./);
    }
  }
});

test("another set of files is refused", () => {
  refused((dir) => writeFileSync(join(dir, "notes.txt"), ""), /notes.txt/);
  for (const name of ["manifest.json", "policy.json", "policy.onnx", "MODEL_CARD.md"]) {
    refused((dir) => rmSync(join(dir, name)), /need/);
    refused((dir) => edit(dir, name, (raw) => raw.subarray(0, raw.length - 2)), /./);
  }
  refused((dir) => {
    rmSync(join(dir, "policy.json"));
    symlinkSync(join(BUNDLE, "policy.json"), join(dir, "policy.json"));
  }, /link/);
});

test("an edited manifest is refused", () => {
  const replaced = (from, to) => (dir) =>
    edit(dir, "manifest.json", (raw) => {
      const text = raw.toString();
      assert.ok(text.includes(from));
      return text.replace(from, to);
    });
  refused(replaced('"format_version": "2.', '"format_version": "3.'), /format_version "3/);
  refused(replaced('"clip": 3.0', '"clip": 2.0'), /digest/);
  refused(replaced('"clip": 3.0', '"clip": 3.0, "clip": 3.0'), /twice/);
  refused(replaced("{", "["), /need JSON/);
});

/** The canonical text of a manifest's values; numbers keep their spelling, as `spelled` below. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return spelled(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${spelled(key)}:${canonical(value[key])}`).join(",")}}`;
}

const MARK = "a number: ";
const spelled = (value) =>
  typeof value === "string" && value.startsWith(MARK)
    ? value.slice(MARK.length)
    : JSON.stringify(value).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Changes the manifest of a copy and seals it again, as an honest writer would have. */
const resealed = (change) => (dir) =>
  edit(dir, "manifest.json", (raw) => {
    const tokens = /("(?:[^"\\]|\\.)*")|-?\d[\d.eE+-]*/g;
    const marked = raw.toString().replace(tokens, (all, text) => text ?? `"${MARK}${all}"`);
    const { digest, ...manifest } = JSON.parse(marked);
    assert.equal(sha256(canonical(manifest)), digest);
    change(manifest);
    return canonical({ ...manifest, digest: sha256(canonical(manifest)) });
  });

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const END = "2030-06-01T12:00:00Z";
const [BEFORE, AT] = [Date.parse(END) - 1, Date.parse(END)];
const waived = { identity: "release manager", reason: "pilot", expires: END, waives: ["gate"] };
const written = (lowest) => lowest && `${MARK}${lowest}`;
const judged = (verdict, lowest, waivers) =>
  resealed((manifest) => {
    Object.assign(manifest.evidence, { verdict, lower_bound: written(lowest) });
    manifest.waivers = waivers;
  });

test("evidence carries the policy, or a waiver does until it ends", () => {
  for (const lowest of ["0.03", "0.0", "-0.0"]) {
    changed(judged("approved", lowest, []), (dir) => assert.ok(readBundle(dir)));
    refused(judged("refused", lowest, []), /evidence.verdict "refused", need "approved", or a waiver of "gate"/);
    refused(judged("no_change", lowest, []), /evidence.verdict/);
  }
  for (const lowest of ["-0.001", null]) {
    refused(judged("approved", lowest, []), /evidence.lower_bound .* need a number >= 0, or a waiver of "gate"/);
    changed(judged("approved", lowest, [waived]), (dir) => assert.ok(readBundle(dir, { now: BEFORE })));
  }
  changed(judged("refused", null, [waived]), (dir) => assert.ok(readBundle(dir, { now: BEFORE })));
  refused(judged("refused", null, [{ ...waived, waives: ["card"] }]), /evidence.verdict/, { now: BEFORE });
});

test("a waiver that has ended refuses whatever else holds", () => {
  for (const verdict of ["approved", "refused"]) {
    refused(judged(verdict, "0.03", [waived]), /waivers\[0\].expires .* need a time after 2030-/, { now: AT });
    const later = { ...waived, expires: "9999-12-31T23:59:59Z" };
    refused(judged(verdict, "0.03", [later, waived]), /waivers\[1\].expires/, { now: AT });
    changed(judged(verdict, "0.03", [later]), (dir) => assert.ok(readBundle(dir)));
    refused(judged(verdict, "0.03", [{ ...waived, expires: "2020-01-31T00:00:00Z" }]), /a time after/);
  }
  for (const expires of ["2030-06-31T12:00:00Z", "2030-06-02", "2030-06-02T12:00:00+00:00", "never", null, 2e12])
    refused(judged("approved", "0.03", [{ ...waived, expires }]), /waivers\[0\].expires/, { now: BEFORE });
});

test("a signature is asked for where a key is given", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const other = generateKeyPairSync("ed25519").privateKey;
  const signed = (by) => (dir) => {
    const raw = readFileSync(join(dir, "manifest.json"));
    writeFileSync(join(dir, "manifest.sig"), sign(null, raw, by));
  };
  const unsigned = (dir) => rmSync(join(dir, "manifest.sig"), { force: true });
  changed(signed(privateKey), (dir) => assert.ok(readBundle(dir, { key })));
  refused(signed(other), /manifest.sig/, { key });
  refused(unsigned, /manifest.sig/, { key });
  changed(unsigned, (dir) => assert.ok(readBundle(dir)));
});

test("bad data gets the approved parameters, with the reason", () => {
  const cyclic = {};
  cyclic.itself = cyclic;
  const model = golden[1].features.model_name;
  const bad = [
    null, undefined, 7, "text", [], cyclic, { titel_length: 3 }, { title_length: -1 }, { title_length: 1.5 },
    { title_length: 1e13 }, { title_length: "3" }, { title_length: null }, { title_length: NaN }, { title_length: 3n },
    { risk_tier: 0 }, { risk_tier: 4 }, { risk_tier: true }, { has_external_deps: 1 }, { model_name: 3 },
    { complexity_indicators: "api" }, { complexity_indicators: [1] }, { complexity_indicators: ["\ud800"] },
    JSON.parse('{"__proto__": 1}'),
  ];
  const calls = bad.map((features) => [features && typeof features === "object" ? named(features) : features, "r-1"]);
  for (const id of ["", "x".repeat(1025), "\udc00", 5, null, undefined]) calls.push([golden[1].features, id]);
  const prices = [[1], [1, -1], [1, NaN], [1, "1"], "11", null, { length: 2 }];
  calls.push(...prices.map((some) => [golden[1].features, "r-1", some]));
  const { approved } = kinds[1];
  for (const [features, id, some] of calls) {
    const found = bundle.recommend(features, kinds[1].name, id, some);
    assert.match(found.reason, /^approved parameters: .*need/);
    assert.deepEqual([found.action_id, found.propensity, found.uniform], [approved.action_id, 1, null]);
    assert.equal(found.parameters["gen_ai.request.temperature"], approved.parameters.temperature);
    assert.equal(massOf(found), TOTAL);
  }
  function named(features) {
    const isWhole = Array.isArray(features) || !model || "model_name" in features;
    return isWhole ? features : { ...features, model_name: model };
  }
});

test("an unknown task type gets the fallback", () => {
  for (const kind of ["no such type", null, undefined, 3, Symbol("kind"), {}]) {
    const found = bundle.recommend(golden[1].features, kind, "r-1");
    assert.match(found.reason, /^fallback: task_type/);
    assert.deepEqual([found.action_id, found.propensity, found.uniform], [fallback.action_id, 1, null]);
    assert.deepEqual(found.parameters["gen_ai.request.stop_sequences"], []);
  }
});

test("the command answers every line, and refuses a bad bundle", () => {
  const reader = fileURLToPath(new URL("read_bundle.mjs", import.meta.url));
  const { features, task_type, request_id } = golden[2];
  const input = `${JSON.stringify({ features, task_type, request_id })}\nno JSON\nnull\n`;
  const lines = execFileSync(process.execPath, [reader, BUNDLE], { input }).toString().trim().split("\n");
  const told = lines.map((line) => JSON.parse(line));
  assert.deepEqual(told.map((one) => one.reason.split(":")[0]), ["", "fallback", "fallback"]);
  assert.equal(told[0].uniform, golden[2].uniform);
  assert.throws(() => execFileSync(process.execPath, [reader, join(BUNDLE, "nowhere")], { stdio: "pipe" }), /nowhere/);
});
