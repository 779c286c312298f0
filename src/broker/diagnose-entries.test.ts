import assert from "node:assert/strict";
import { test } from "node:test";
import { createRedactor } from "../model/redaction.ts";
import { bundleEntries, MAX_ENTRY_BYTES } from "./diagnose-entries.ts";
import type { BrokerSnapshot } from "./status.ts";

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
  const events = () => Array.from({ length: 4_000 }, (_, ts_ms) => ({ ts_ms, message: "x".repeat(4000) }));
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

test("of the environment there are the broker's own variables, secrets among them without their values", () => {
  const summary = JSON.parse(content(bundleEntries(snapshot({}), SYSTEM, REDACTOR), "system/summary.json"));
  assert.deepEqual(summary.environment, [
    { name: "RUNNING_PROCESS_TOKEN", value: "[redacted]" },
    { name: "RUNNING_PROCESS_X", value: "1" },
  ]);
  assert.deepEqual(summary.descriptors, { open: 3, limit: null });
});
