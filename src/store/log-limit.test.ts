import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogLimit } from "./log-limit.ts";

test("a log is full at seven eighths of its limit, and what an emptied one begins with is no content", () => {
  const limit = createLogLimit(800);
  assert.deepEqual([699, 700, 5000].map(limit.isFull), [false, true, true]);
  assert.deepEqual([0, 100, 101].map(limit.hasContent), [false, false, true]);
});

test("one that could not be emptied is full again after a whole limit of new bytes, until it is emptied", () => {
  const limit = createLogLimit(800);
  limit.stuck(3000);
  assert.deepEqual([3000, 3799, 3800].map(limit.isFull), [false, false, true]);
  assert.deepEqual([3000, 3001].map(limit.hasContent), [false, true]);
  limit.stuck(0);
  assert.deepEqual([799, 800].map(limit.isFull), [false, true]);
  limit.emptied();
  assert.deepEqual([699, 700].map(limit.isFull), [false, true]);
});
