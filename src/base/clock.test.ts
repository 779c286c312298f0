import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { abortError, type Clock, Deadline, sleep, type Timer } from "./clock.ts";
import { BrokerError, hasCode } from "./errors.ts";

/** Time that stands still until it is told to move. */
function handClock(): Clock & { advance(ms: number): void; readonly armed: number } {
  let now = 1000;
  const timers = new Map<Timer, { at: number; fire: () => void }>();
  return {
    monotonicMs: () => now,
    wallMs: () => 1_700_000_000_000 + now,
    schedule(delayMs, fire) {
      const timer: Timer = { cancel: () => void timers.delete(timer) };
      timers.set(timer, { at: now + delayMs, fire });
      return timer;
    },
    advance(ms) {
      now += ms;
      for (const [timer, { at, fire }] of [...timers]) {
        if (at > now || !timers.delete(timer)) continue;
        fire();
      }
    },
    get armed() {
      return timers.size;
    },
  };
}

describe("a deadline", () => {
  test("is one point in time, however often it is asked", () => {
    const clock = handClock();
    const deadline = Deadline.after(clock, 100);
    assert.equal(deadline.remainingMs(), 100);
    clock.advance(60);
    assert.equal(deadline.remainingMs(), 40);
    assert.ok(!deadline.passed());
    clock.advance(40);
    assert.ok(deadline.passed());
    clock.advance(5);
    assert.equal(deadline.remainingMs(), 0);
  });

  test("within a time is the earlier of both", () => {
    const clock = handClock();
    const deadline = Deadline.after(clock, 100);
    assert.equal(deadline.within(30).remainingMs(), 30);
    assert.equal(deadline.within(300).remainingMs(), 100);
    assert.equal(Deadline.never(clock).within(300).remainingMs(), 300);
  });

  test("fires once when armed, and not when cancelled before", () => {
    const clock = handClock();
    let fired = 0;
    Deadline.after(clock, 10).arm(() => fired++);
    Deadline.after(clock, 10)
      .arm(() => fired++)
      .cancel();
    clock.advance(9);
    assert.equal(fired, 0);
    clock.advance(1);
    clock.advance(50);
    assert.equal(fired, 1);
  });

  test("that never comes arms nothing", () => {
    const clock = handClock();
    const timer = Deadline.never(clock).arm(() => assert.fail("fired"));
    assert.equal(clock.armed, 0);
    timer.cancel();
    assert.equal(Deadline.never(clock).passed(), false);
    assert.equal(Deadline.never(clock).remainingMs(), Number.POSITIVE_INFINITY);
  });
});

describe("sleep", () => {
  test("ends after its time", async () => {
    const clock = handClock();
    const sleeping = sleep(clock, 20);
    clock.advance(20);
    await sleeping;
    assert.equal(clock.armed, 0);
  });

  test("ends early with ABORTED and leaves no timer when its signal fires", async () => {
    const clock = handClock();
    const abort = new AbortController();
    const sleeping = sleep(clock, 20, abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(sleeping, (error) => hasCode(error, "ABORTED") && error.cause === abort.signal.reason);
    assert.equal(clock.armed, 0);
  });

  test("does not start when its signal has fired before", async () => {
    const clock = handClock();
    await assert.rejects(sleep(clock, 20, AbortSignal.abort()), (error) => hasCode(error, "ABORTED"));
    assert.equal(clock.armed, 0);
  });

  test("leaves no listener on the signal once its time is up", async () => {
    const clock = handClock();
    const { signal } = new AbortController();
    const sleeping = sleep(clock, 20, signal);
    assert.equal(getEventListeners(signal, "abort").length, 1);
    clock.advance(20);
    await sleeping;
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});

test("an abort for a reason of ours keeps its code", () => {
  const reason = new BrokerError("DEADLINE_EXCEEDED", "time is up");
  assert.equal(abortError(AbortSignal.abort(reason)), reason);
});
