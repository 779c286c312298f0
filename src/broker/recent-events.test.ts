import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../testing/manual-clock.ts";
import { createRecentEvents } from "./recent-events.ts";

test("the last events are kept, oldest first, with their time; those of single connections are not", () => {
  const clock = createManualClock();
  const recent = createRecentEvents(clock, 3);
  const note = (type: string, level: "debug" | "info" = "info") => recent.note({ type, level, message: type });
  note("a");
  note("quiet", "debug");
  note("b");
  assert.deepEqual(
    recent.rows().map(({ type }) => type),
    ["a", "b"],
  );
  for (const type of ["c", "d", "e"]) note(type);
  assert.deepEqual(
    recent.rows(),
    ["c", "d", "e"].map((type) => ({ ts_ms: Math.round(clock.wallMs()), type, level: "info", message: type })),
  );
});

test("a text that a peer made up cannot fill the memory", () => {
  const recent = createRecentEvents(createManualClock());
  recent.note({ type: "hello-refused", level: "info", message: "m", service: "x".repeat(65_536), pid: 3 });
  assert.deepEqual(
    recent.rows().map(({ service, pid }) => [String(service).length, pid]),
    [[1025, 3]],
  );
});
