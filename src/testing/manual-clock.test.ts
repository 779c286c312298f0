import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadline, sleep } from "../base/clock.ts";
import { createManualClock } from "./manual-clock.ts";

test("time stands still until it is moved, both clocks move together", () => {
  const clock = createManualClock({ startMs: 10, wallMs: 1000 });
  assert.equal(clock.monotonicMs(), 10);
  assert.equal(clock.wallMs(), 1000);
  clock.advance(2.5);
  assert.equal(clock.monotonicMs(), 12.5);
  assert.equal(clock.wallMs(), 1002);
});

test("timers fire in the order they fall due, each at its own moment, those set meanwhile included", () => {
  const clock = createManualClock();
  const fired: string[] = [];
  const note = (name: string) => () => fired.push(`${name}@${clock.monotonicMs()}`);
  clock.schedule(30, note("c"));
  clock.schedule(10, () => {
    note("a")();
    clock.schedule(5, note("b"));
  });
  clock.schedule(10, note("a2"));
  clock.advance(30);
  assert.deepEqual(fired, ["a@10", "a2@10", "b@15", "c@30"]);
  assert.equal(clock.pendingTimers, 0);
});

test("a cancelled timer does not fire, also when cancelled by one due at the same moment", () => {
  const clock = createManualClock();
  const second = { cancel() {} };
  clock.schedule(5, () => second.cancel());
  second.cancel = clock.schedule(5, () => assert.fail("it fired")).cancel;
  clock.advance(5);
  assert.equal(clock.pendingTimers, 0);
});

test("deadlines and sleeps run on it", async () => {
  const clock = createManualClock();
  const deadline = Deadline.after(clock, 100);
  const slept = sleep(clock, 100);
  clock.advance(99);
  assert.equal(deadline.passed(), false);
  clock.advance(1);
  assert.ok(deadline.passed());
  await slept;
});

test("it cannot be moved back", () => {
  assert.throws(() => createManualClock().advance(-1), RangeError);
  assert.throws(() => createManualClock().advance(Number.NaN), RangeError);
});
