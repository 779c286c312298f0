import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import { defaultRoot, defineService, draftOf } from "./define-service.ts";
import { definitionDifferences } from "./definition-differences.ts";
import { createServiceDefinition, encodeServiceDefinition } from "./service-definition.ts";

test("the default root is the directory in front of the version, else the binary's own", () => {
  assert.equal(defaultRoot("/opt/demo/{version}/bin/demo"), "/opt/demo");
  assert.equal(defaultRoot("/opt/demo-{version}/bin/demo"), "/opt");
  assert.equal(defaultRoot("/opt/demo/bin/demo-{version}"), "/opt/demo/bin");
  assert.equal(defaultRoot("/{version}/demo"), "/");
  assert.equal(defaultRoot("/opt/demo/bin/demo"), "/opt/demo/bin");
});

test("the broker binds unless told otherwise, and never for readiness by connect", () => {
  const draft = { name: "demo", binary: "/opt/demo" };
  assert.equal(defineService(draft).exec.bind, "broker");
  assert.equal(defineService({ ...draft, exec: { bind: "backend" } }).exec.bind, "backend");
  assert.equal(defineService({ ...draft, exec: { ready: "connect" } }).exec.bind, "backend");
  assert.equal(defineService({ ...draft, labels: { "exec.ready": "connect" } }).exec.bind, "backend");
  assert.equal(defineService({ ...draft, labels: { "exec.bind": "backend" } }).exec.bind, "backend");
});

test("an instance name alone means explicit isolation", () => {
  const definition = defineService({ name: "demo", binary: "/opt/demo", instance: "ci" });
  assert.equal(definition.isolation, "explicit");
  assert.equal(definition.explicitInstance, "ci");
});

test("a setting given twice is refused, also with the same value", () => {
  assert.throws(
    () => defineService({ name: "demo", binary: "/opt/demo", exec: { cwd: "/" }, labels: { "exec.cwd": "/" } }),
    (error) => hasCode(error, "DEFINITION_INVALID") && error.details.check === "exec.cwd",
  );
});

test("a definition by other tools, without our labels, keeps its meaning through a draft", () => {
  const foreign = createServiceDefinition({
    serviceName: "demo",
    binaryPath: "/opt/demo",
    labels: { "exec.args": '[ "a" ]', owner: "me" },
  });
  const again = defineService(draftOf(foreign));
  assert.equal(again.exec.bind, "backend");
  assert.equal(again.perVersionBinaryDir, "");
  assert.notDeepEqual(encodeServiceDefinition(again), encodeServiceDefinition(foreign));
  assert.deepEqual(definitionDifferences(foreign, again), []);
});

test("differences name the field and both values", () => {
  const from = defineService({
    name: "demo",
    binary: "/opt/a/demo",
    exec: { args: ["a"], env: { A: "1" } },
    labels: { owner: "me" },
  });
  const to = defineService({
    name: "demo",
    binary: "/opt/b/demo",
    exec: { args: ["b"], stopTimeout: "10s" },
    labels: { owner: "you" },
  });
  assert.deepEqual(definitionDifferences(from, to), [
    { field: "binaryPath", from: "/opt/a/demo", to: "/opt/b/demo" },
    { field: "perVersionBinaryDir", from: "/opt/a", to: "/opt/b" },
    { field: "exec.args", from: '["a"]', to: '["b"]' },
    { field: "exec.env.A", from: "1", to: "(none)" },
    { field: "label owner", from: "me", to: "you" },
  ]);
});

test("handoff labels differ when they mean something else, not when they spell a default out", () => {
  const draft = { name: "demo", binary: "/opt/demo" };
  const from = defineService(draft);
  const spelledOut = defineService({ ...draft, labels: { "handoff.enabled": "true" } });
  assert.deepEqual(definitionDifferences(from, spelledOut), []);
  const to = defineService({
    ...draft,
    labels: { "handoff.enabled": "false", "handoff.max_attempts_per_minute": "9" },
  });
  assert.deepEqual(definitionDifferences(from, to), [
    { field: "handoff.enabled", from: "true", to: "false" },
    { field: "handoff.maxAttemptsPerMinute", from: "(none)", to: "9" },
  ]);
});
