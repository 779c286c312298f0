import assert from "node:assert/strict";
import test from "node:test";
import type { BackendKey } from "./backend-key.ts";
import { createSpawnBudget, SPAWN_BUDGET_KEYS, SPAWN_WINDOW_MS } from "./spawn-budget.ts";

const [A, B] = [keyOf("a"), keyOf("b")];

test("three attempts, then none until the window that the first one began is over", () => {
  const budget = createSpawnBudget();
  assert.deepEqual([budget.begin(A, 1000), budget.begin(A, 2000), budget.begin(A, 3000)], [0, 0, 0]);
  assert.equal(budget.begin(A, 4000), 27_000);
  assert.equal(budget.begin(A, 1000 + SPAWN_WINDOW_MS - 0.5), 1);
  assert.equal(budget.begin(A, 1000 + SPAWN_WINDOW_MS), 0);
  assert.deepEqual(budget.rows(1000 + SPAWN_WINDOW_MS), [{ key: A, attemptsUsed: 1, remaining: 2 }]);
});

test("refused attempts do not prolong the window", () => {
  const budget = createSpawnBudget({ attempts: 1, windowMs: 100 });
  budget.begin(A, 0);
  for (let ms = 1; ms < 100; ms++) assert.equal(budget.begin(A, ms), 100 - ms);
  assert.equal(budget.begin(A, 100), 0);
});

test("a success gives the whole budget back", () => {
  const budget = createSpawnBudget();
  for (let attempt = 0; attempt < 3; attempt++) budget.begin(A, 0);
  budget.succeeded(A);
  assert.deepEqual(budget.rows(0), []);
  assert.equal(budget.begin(A, 1), 0);
});

test("keys do not count for each other", () => {
  const budget = createSpawnBudget({ attempts: 1 });
  assert.equal(budget.begin(A, 0), 0);
  assert.equal(budget.begin(B, 0), 0);
  assert.ok(budget.begin(A, 0) > 0);
});

test("rows tell what is used, and when to come back once nothing remains; windows that are over do not show", () => {
  const budget = createSpawnBudget({ attempts: 2, windowMs: 100 });
  budget.begin(B, 0);
  budget.begin(A, 50);
  budget.begin(A, 60);
  assert.deepEqual(budget.rows(70), [
    { key: A, attemptsUsed: 2, remaining: 0, retryAfterMs: 80 },
    { key: B, attemptsUsed: 1, remaining: 1 },
  ]);
  assert.deepEqual(
    budget.rows(120).map(({ key }) => key.service),
    ["a"],
  );
});

test("settings below the least are raised to it", () => {
  const budget = createSpawnBudget({ attempts: 0, windowMs: 0 });
  assert.equal(budget.begin(A, 0), 0);
  assert.equal(budget.begin(A, 0.5), 1);
  assert.equal(budget.begin(A, 1), 0);
});

test("of more keys than are counted the oldest is forgotten", () => {
  const budget = createSpawnBudget();
  for (let key = 0; key <= SPAWN_BUDGET_KEYS; key++) budget.begin(keyOf(`key ${key}`), key / 1000);
  const counted = budget.rows(2).map(({ key }) => key.service);
  assert.equal(counted.length, SPAWN_BUDGET_KEYS);
  assert.ok(!counted.includes("key 0") && counted.includes(`key ${SPAWN_BUDGET_KEYS}`));
});

test("a flood of keys is forgotten once their windows are over", () => {
  const budget = createSpawnBudget();
  for (let key = 0; key < 5000; key++) budget.begin(keyOf(`old-${key}`), 0);
  budget.begin(keyOf("new"), SPAWN_WINDOW_MS);
  assert.deepEqual(
    budget.rows(SPAWN_WINDOW_MS - 1).map(({ key }) => key.service),
    ["new"],
  );
});

function keyOf(service: string): BackendKey {
  return { instanceId: "shared", service, version: "1.0.0" };
}
