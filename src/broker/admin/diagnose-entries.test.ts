import assert from "node:assert/strict";
import { test } from "node:test";
import { createRedactor } from "../../model/redaction.ts";
import { renderConfig, renderDump } from "./bodies.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";
import { bundleEntries, MAX_ENTRY_BYTES } from "./diagnose-entries.ts";
import { renderStatusJson } from "./status-body.ts";

const REDACTOR = createRedactor({ home: "", env: {}, stableHash: (text) => text });
const SYSTEM = {
  os: "linux",
  machine: "m",
  descriptors: { open: 3, limit: Number.POSITIVE_INFINITY },
  env: { RUNNING_PROCESS_X: "1", RUNNING_PROCESS_TOKEN: "t", LANG: "C" },
  manifests: { directory: "/m", files: [] },
};

function snapshot(changes: Partial<BrokerSnapshot>): BrokerSnapshot {
  return {
    nowUnixMs: 1,
    instance: "shared",
    pid: 1,
    endpoint: "/e",
    uptimeMs: 0,
    acceptingHello: true,
    shuttingDown: false,
    connectionsOpen: 0,
    launching: 0,
    fdDemoted: false,
    inodes: undefined,
    backends: [],
    draining: [],
    crashes: [],
    budgets: [],
    health: [],
    definitions: { directory: "/d", source: "platform-default" },
    events: () => [],
    metrics: () => [],
    ...changes,
  };
}

function content(entries: ReturnType<typeof bundleEntries>, path: string): string {
  const entry = entries.find((one) => one.path === path);
  assert.ok(entry !== undefined);
  assert.ok(entry.content.length <= MAX_ENTRY_BYTES);
  return Buffer.from(entry.content).toString();
}

test("of a huge log the newest events that fit are there, and the first line says how many are not", () => {
  const extra = { type: "broker-started" };
  const events = () => Array.from({ length: 4_000 }, (_, ts_ms) => ({ ts_ms, extra, reason: "x".repeat(4000) }));
  const entries = bundleEntries(snapshot({ events }), SYSTEM, REDACTOR);
  const lines = content(entries, "events/lifecycle.jsonl").trimEnd().split("\n");
  const [first, ...rows] = lines.map((line) => JSON.parse(line) as { ts_ms?: number; left_out?: number });
  assert.equal(first?.left_out, 4_000 - rows.length);
  assert.ok(rows.length > 900);
  assert.deepEqual(
    rows.map((row) => row.ts_ms),
    Array.from({ length: rows.length }, (_, i) => 4_000 - rows.length + i),
  );
  assert.equal(JSON.parse(content(entries, "admin/dump.json")).recent_lifecycle_events.length, 50);
});

test("an entry that would be too large says so instead", () => {
  const metrics = () => [{ name: "x".repeat(MAX_ENTRY_BYTES), type: "gauge" as const, samples: [] }];
  const text = content(bundleEntries(snapshot({ metrics }), SYSTEM, REDACTOR), "metrics/openmetrics.txt");
  assert.match(text, /^\{"left_out":"too large","size_bytes":\d+\}\n$/);
});

test("of the environment there are the variables that steer a broker; others of ours are named without their values", () => {
  const env = { ...SYSTEM.env, XDG_RUNTIME_DIR: "/run", XDG_SESSION_ID: "7", RUNNING_PROCESS_DISABLE: "0" };
  const summary = JSON.parse(content(bundleEntries(snapshot({}), { ...SYSTEM, env }, REDACTOR), "system/summary.json"));
  assert.deepEqual(summary.environment, [
    { name: "RUNNING_PROCESS_DISABLE", value: "0" },
    { name: "RUNNING_PROCESS_TOKEN", value: "[redacted]" },
    { name: "RUNNING_PROCESS_X", value: "[redacted]" },
    { name: "XDG_RUNTIME_DIR", value: "/run" },
  ]);
  assert.deepEqual(summary.descriptors, { open: 3, limit: null });
});

const KEY = { instanceId: "shared", service: "svc", version: "1.0.0" };
const HIDDEN = "said by a backend";

test("texts that may quote a backend, a definition or a peer are in no entry, nor is any field that the list does not know", () => {
  const event = (type: string, more: object = {}) => ({
    ts_ms: 1,
    kind: "DIED_CRASH",
    reason: `exited; last output: ${HIDDEN}`,
    log_tail: HIDDEN,
    extra: { type, code: "PROCESS_EXITED", detail: HIDDEN, ...more },
  });
  const backend = {
    key: KEY,
    state: "running",
    lastHelloUnixMs: 1,
    lastActiveUnixMs: 1,
    identity: { pid: 5, exePath: "/opt/svc", endpoint: { namespaceId: "shared", path: "/e" }, startedAtUnixMs: 1 },
    definition: { exec: { args: [HIDDEN], env: { A: HIDDEN } }, labels: { l: HIDDEN } },
  };
  const shot = snapshot({
    backends: [backend as unknown as BrokerSnapshot["backends"][number]],
    draining: [backend as unknown as BrokerSnapshot["backends"][number]],
    crashes: [{ key: KEY, crashes: 2, exit: "status 7", logTail: HIDDEN, atUnixMs: 1 }],
    health: [{ key: KEY, lastError: HIDDEN, lastErrorCode: "PROCESS_EXITED", lastErrorUnixMs: 1, lastHelloUnixMs: 0 }],
    events: () =>
      ["hello-refused", "backend-launch-failed", "backend-launching", "handoff-fallback", "of-a-later-version"].map(
        (type) => event(type),
      ),
  });
  const entries = bundleEntries(shot, SYSTEM, REDACTOR);
  for (const { path } of entries) assert.ok(!content(entries, path).includes(HIDDEN), path);
  // What is ours is there.
  assert.equal(JSON.parse(content(entries, "process/backends.json")).backends[0].last_error, "PROCESS_EXITED");
  const { broker_instance, service_name, service_version, last_exit } = JSON.parse(
    content(entries, "admin/status.json"),
  ).crashes[0];
  assert.deepEqual([broker_instance, service_name, service_version, last_exit], [...Object.values(KEY), "status 7"]);
  assert.equal(JSON.parse(content(entries, "admin/dump.json")).recent_lifecycle_events[4].extra.code, "PROCESS_EXITED");
});

test("reasons in words of the broker's own are there", () => {
  const events = () => [{ ts_ms: 1, reason: "crashed with status 7", extra: { type: "backend-state" } }];
  const line = content(bundleEntries(snapshot({ events }), SYSTEM, REDACTOR), "events/lifecycle.jsonl");
  assert.equal(JSON.parse(line).reason, "crashed with status 7");
});

test("all of what status, dump and config say of a broker at rest is in the archive", () => {
  const entries = bundleEntries(snapshot({}), SYSTEM, REDACTOR);
  const keys = (value: object): string[] => Object.keys(value).sort();
  assert.deepEqual(keys(JSON.parse(content(entries, "admin/status.json"))), keys(renderStatusJson(snapshot({}))));
  assert.deepEqual(keys(JSON.parse(content(entries, "admin/dump.json"))), keys(renderDump(snapshot({}))));
  assert.deepEqual(JSON.parse(content(entries, "config/effective.json")), renderConfig(snapshot({})));
});
