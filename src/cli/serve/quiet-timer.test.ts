import assert from "node:assert/strict";
import test from "node:test";
import { createManualClock } from "../../testing/manual-clock.ts";
import { createLeisure } from "./quiet-timer.ts";

function setUp() {
  const clock = createManualClock();
  const told = { times: 0 };
  const leisure = createLeisure(clock, 1000, () => void told.times++);
  return { clock, leisure, told };
}

test("there is leisure once after each time of work, and no timer before or after", () => {
  const { clock, leisure, told } = setUp();
  assert.equal(clock.pendingTimers, 0);
  for (let round = 1; round <= 2; round++) {
    leisure.disturb();
    clock.advance(999);
    assert.equal(told.times, round - 1);
    clock.advance(1);
    assert.equal(told.times, round);
    assert.equal(clock.pendingTimers, 0);
    clock.advance(10_000);
    assert.equal(told.times, round);
  }
});

test("while things go on there is none", () => {
  const { clock, leisure, told } = setUp();
  for (let ms = 0; ms < 60_000; ms += 900) {
    leisure.disturb();
    clock.advance(900);
  }
  assert.equal(told.times, 0);
  // At most twice the quiet time after the last.
  clock.advance(1100);
  assert.equal(told.times, 1);
});

test("nothing happens after it was closed", () => {
  const { clock, leisure, told } = setUp();
  leisure.disturb();
  leisure.close();
  clock.advance(10_000);
  assert.deepEqual([told.times, clock.pendingTimers], [0, 0]);
});
