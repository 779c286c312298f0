import assert from "node:assert/strict";
import test from "node:test";
import type { BackendKey } from "./backend-key.ts";
import { CRASH_BACKOFF_MS, createRecovery, RECOVERY_KEYS } from "./recovery.ts";
import { SPAWN_WINDOW_MS } from "./spawn-budget.ts";

const K = keyOf("k");
const FACTS = { exit: "status 1", logTail: "oops", atUnixMs: 5 };

test("the launch after the first crash is at once, after the second it waits", () => {
  const recovery = createRecovery();
  assert.equal(recovery.delayMs(K, 0), 0);
  assert.equal(recovery.crashed(K, 0, FACTS), 1);
  assert.equal(recovery.delayMs(K, 0), 0);
  assert.equal(recovery.crashed(K, 1000, { ...FACTS, exit: "signal SIGSEGV" }), 2);
  assert.equal(recovery.delayMs(K, 1000), CRASH_BACKOFF_MS);
  assert.equal(recovery.delayMs(K, 1000 + CRASH_BACKOFF_MS), 0);
  assert.equal(recovery.delayMs(keyOf("other"), 1000), 0);
});

test("after the third crash there is no launch until the window is over", () => {
  const recovery = createRecovery();
  for (const nowMs of [0, 1000, 2000]) {
    assert.equal(recovery.refusedMs(K, nowMs), 0);
    recovery.crashed(K, nowMs, FACTS);
  }
  assert.equal(recovery.refusedMs(K, 2000), SPAWN_WINDOW_MS - 2000);
  assert.equal(recovery.refusedMs(K, SPAWN_WINDOW_MS - 0.5), 1);
  assert.equal(recovery.refusedMs(K, SPAWN_WINDOW_MS), 0);
});

test("what happened last is told while it counts, and forgotten with its window or when it stays up", () => {
  const recovery = createRecovery();
  recovery.crashed(K, 0, FACTS);
  recovery.crashed(K, 10, { ...FACTS, exit: "status 2" });
  assert.deepEqual(recovery.last(K, SPAWN_WINDOW_MS - 1), { key: K, crashes: 2, ...FACTS, exit: "status 2" });
  assert.deepEqual(recovery.rows(SPAWN_WINDOW_MS), []);
  assert.equal(recovery.crashed(K, SPAWN_WINDOW_MS, FACTS), 1);
  recovery.forget(K);
  assert.equal(recovery.last(K, SPAWN_WINDOW_MS), undefined);
});

test("of more keys than are kept the oldest is forgotten", () => {
  const recovery = createRecovery();
  for (let i = 0; i <= RECOVERY_KEYS; i++) recovery.crashed(keyOf(`key ${i}`), i / 1000, FACTS);
  const kept = recovery.rows(1).map((row) => row.key.service);
  assert.equal(kept.length, RECOVERY_KEYS);
  assert.equal(recovery.last(keyOf("key 0"), 1), undefined);
  assert.ok(kept.includes(`key ${RECOVERY_KEYS}`));
});

test("keys whose window is over do not pile up", () => {
  const recovery = createRecovery();
  for (let i = 0; i < 1024; i++) recovery.crashed(keyOf(`old ${i}`), 0, FACTS);
  recovery.crashed(keyOf("new"), SPAWN_WINDOW_MS, FACTS);
  assert.deepEqual(
    recovery.rows(SPAWN_WINDOW_MS).map((row) => row.key.service),
    ["new"],
  );
});

test("objects that are equal are one key, and what is told of it is a key with all its parts", () => {
  const recovery = createRecovery();
  recovery.crashed({ ...K }, 0, FACTS);
  recovery.crashed(K, 1, FACTS);
  recovery.crashed({ ...K, instanceId: "shared" }, 2, FACTS);
  assert.deepEqual(
    recovery.rows(3).map(({ key, crashes }) => [key, crashes]),
    [
      [K, 2],
      [{ ...K, instanceId: "shared" }, 1],
    ],
  );
  recovery.forget({ ...K });
  assert.equal(recovery.last(K, 3), undefined);
});

function keyOf(service: string): BackendKey {
  return { instanceId: `private:${service}`, service, version: "1.0.0" };
}
