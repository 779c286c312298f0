import assert from "node:assert/strict";
import test from "node:test";
import { CRASH_BACKOFF_MS, createRecovery, RECOVERY_KEYS } from "./recovery.ts";
import { SPAWN_WINDOW_MS } from "./spawn-budget.ts";

const FACTS = { exit: "status 1", logTail: "oops", atUnixMs: 5 };

test("the launch after the first crash is at once, after the second it waits", () => {
  const recovery = createRecovery();
  assert.equal(recovery.delayMs("k", 0), 0);
  assert.equal(recovery.crashed("k", 0, FACTS), 1);
  assert.equal(recovery.delayMs("k", 0), 0);
  assert.equal(recovery.crashed("k", 1000, { ...FACTS, exit: "signal SIGSEGV" }), 2);
  assert.equal(recovery.delayMs("k", 1000), CRASH_BACKOFF_MS);
  assert.equal(recovery.delayMs("k", 1000 + CRASH_BACKOFF_MS), 0);
  assert.equal(recovery.delayMs("other", 1000), 0);
});

test("after the third crash there is no launch until the window is over", () => {
  const recovery = createRecovery();
  for (const nowMs of [0, 1000, 2000]) {
    assert.equal(recovery.refusedMs("k", nowMs), 0);
    recovery.crashed("k", nowMs, FACTS);
  }
  assert.equal(recovery.refusedMs("k", 2000), SPAWN_WINDOW_MS - 2000);
  assert.equal(recovery.refusedMs("k", SPAWN_WINDOW_MS - 0.5), 1);
  assert.equal(recovery.refusedMs("k", SPAWN_WINDOW_MS), 0);
});

test("what happened last is told while it counts, and forgotten with its window or when it stays up", () => {
  const recovery = createRecovery();
  recovery.crashed("k", 0, FACTS);
  recovery.crashed("k", 10, { ...FACTS, exit: "status 2" });
  assert.deepEqual(recovery.last("k", SPAWN_WINDOW_MS - 1), { key: "k", crashes: 2, ...FACTS, exit: "status 2" });
  assert.deepEqual(recovery.rows(SPAWN_WINDOW_MS), []);
  assert.equal(recovery.crashed("k", SPAWN_WINDOW_MS, FACTS), 1);
  recovery.forget("k");
  assert.equal(recovery.last("k", SPAWN_WINDOW_MS), undefined);
});

test("of more keys than are kept the oldest is forgotten", () => {
  const recovery = createRecovery();
  for (let i = 0; i <= RECOVERY_KEYS; i++) recovery.crashed(`key ${i}`, i / 1000, FACTS);
  const kept = recovery.rows(1).map((row) => row.key);
  assert.equal(kept.length, RECOVERY_KEYS);
  assert.equal(recovery.last("key 0", 1), undefined);
  assert.ok(kept.includes(`key ${RECOVERY_KEYS}`));
});

test("keys whose window is over do not pile up", () => {
  const recovery = createRecovery();
  for (let i = 0; i < 1024; i++) recovery.crashed(`old ${i}`, 0, FACTS);
  recovery.crashed("new", SPAWN_WINDOW_MS, FACTS);
  assert.deepEqual(
    recovery.rows(SPAWN_WINDOW_MS).map((row) => row.key),
    ["new"],
  );
});
