import assert from "node:assert/strict";
import test from "node:test";
import { createFdGuard } from "./fd-guard.ts";

test("the first exhausted accept demotes; the third good one in a row ends it and is served already", () => {
  const guard = createFdGuard();
  assert.equal(guard.demoted, false);
  assert.equal(guard.exhausted(), true);
  assert.equal(guard.demoted, true);
  assert.deepEqual([guard.accepted(), guard.accepted()], [false, false]);
  assert.equal(guard.demoted, true);
  assert.equal(guard.accepted(), true);
  assert.equal(guard.demoted, false);
});

test("another exhausted accept begins the streak anew and is no second demotion", () => {
  const guard = createFdGuard();
  guard.exhausted();
  guard.accepted();
  guard.accepted();
  assert.equal(guard.exhausted(), false);
  assert.deepEqual([guard.accepted(), guard.accepted(), guard.accepted()], [false, false, true]);
  assert.equal(guard.demotions, 1);
});

test("good accepts before a demotion do not count towards its end", () => {
  const guard = createFdGuard();
  for (let accept = 0; accept < 10; accept++) assert.equal(guard.accepted(), false);
  guard.exhausted();
  assert.equal(guard.accepted(), false);
});

test("demotions and refusals are counted", () => {
  const guard = createFdGuard(1);
  for (let round = 0; round < 3; round++) {
    guard.exhausted();
    guard.countRefusal();
    guard.countRefusal();
    guard.accepted();
  }
  assert.deepEqual([guard.demotions, guard.refused], [3, 6]);
});
