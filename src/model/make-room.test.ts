import assert from "node:assert/strict";
import test from "node:test";
import { makeRoom } from "./make-room.ts";

function windowsFrom(starts: Record<string, number>): Map<string, { startedMs: number }> {
  return new Map(Object.entries(starts).map(([key, startedMs]) => [key, { startedMs }]));
}

test("windows that are over go, those that last stay", () => {
  const windows = windowsFrom({ a: 0, b: 50, c: 60 });
  makeRoom(windows, { nowMs: 150, windowMs: 100, maxKeys: 10 });
  assert.deepEqual([...windows.keys()], ["c"]);
});

test("when all of them last, the oldest go until there is room for one more", () => {
  const windows = windowsFrom({ a: 0, b: 1, c: 2, d: 3 });
  makeRoom(windows, { nowMs: 4, windowMs: 100, maxKeys: 3 });
  assert.deepEqual([...windows.keys()], ["c", "d"]);
});

test("where there is room nothing goes", () => {
  const windows = windowsFrom({ a: 0 });
  makeRoom(windows, { nowMs: 1, windowMs: 100, maxKeys: 2 });
  assert.deepEqual([...windows.keys()], ["a"]);
});
