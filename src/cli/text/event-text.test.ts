import assert from "node:assert/strict";
import { test } from "node:test";
import type { LifecycleEvent } from "../../model/lifecycle-event.ts";
import { lastLines } from "../verbs/logs.ts";
import { createEventTable, timeText } from "./event-text.ts";

const EVENT: LifecycleEvent = {
  tsMs: 1_700_000_000_007,
  pid: 4,
  service: "demo",
  kind: "SPAWN",
  reason: "ready",
  extra: { type: "backend-state", version: "1.0.0" },
  severity: "INFO",
  requestId: "",
  connectionId: 0,
  instance: "shared",
};

test("columns line up within and between pieces, with one heading", () => {
  const table = createEventTable();
  const first = table.lines([EVENT, { ...EVENT, kind: "SPAWN_ATTEMPT", pid: 0, extra: { type: "x", count: "3" } }]);
  const second = table.lines([
    { ...EVENT, kind: "EVENT_KIND_UNSPECIFIED", service: "", extra: { type: "broker-started" } },
  ]);
  const time = timeText(EVENT.tsMs);
  assert.match(time, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.007$/);
  assert.deepEqual(
    first.map((line) => line.slice(25)),
    [
      "EVENT          SERVICE     PID  REASON",
      "SPAWN          demo 1.0.0  4    ready",
      "SPAWN_ATTEMPT  demo        -    ready (3 times)",
    ],
  );
  assert.deepEqual(second, [`${time}  broker-started  -           4    ready`]);
  assert.deepEqual(table.lines([]), []);
});

test("what would steer a terminal is not in a table", () => {
  const evil = "a\u001b]0;owned\u0007\u009b2J\u202e\r\nb";
  const lines = createEventTable().lines([
    { ...EVENT, service: evil, reason: evil, extra: { type: evil, version: evil } },
  ]);
  assert.equal(lines.length, 2);
  assert.ok([..."\u001b\u0007\u009b\u202e\r\n"].every((character) => !lines.join("").includes(character)));
});

test("the last lines, whether or not the last one is ended", () => {
  assert.equal(lastLines("a\nb\nc\n", 2), "b\nc\n");
  assert.equal(lastLines("a\nb\nc", 2), "b\nc");
  assert.equal(lastLines("a\n", 5), "a\n");
  assert.equal(lastLines("a\nb\n", 0), "");
  assert.equal(lastLines("", 3), "");
});
