import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../base/errors.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { createTimeBox } from "./time-box.ts";

const never = (): Promise<never> => new Promise(() => {});

test("a step that outlives the time fails with what was being done, and its late result is given up", async () => {
  const clock = createManualClock();
  const box = createTimeBox(clock, 100);
  let finish: (value: string) => void = () => {};
  const late: string[] = [];
  const step = box.run(
    "fetching the moon",
    () =>
      new Promise<string>((resolve) => {
        finish = resolve;
      }),
    (value) => late.push(value),
  );
  clock.advance(99);
  clock.advance(1);
  await assert.rejects(step, {
    code: "DEADLINE_EXCEEDED",
    message: "[DEADLINE_EXCEEDED] 100 ms were up while fetching the moon",
  });
  finish("moon");
  await new Promise(setImmediate);
  assert.deepEqual(late, ["moon"]);
  assert.equal(clock.pendingTimers, 0);
});

test("steps share one limit: the second gets what the first left, and nothing runs after the end", async () => {
  const clock = createManualClock();
  const box = createTimeBox(clock, 100);
  const first = box.pause("waiting", 60);
  clock.advance(60);
  await first;
  const second = box.run("being slow", never);
  clock.advance(40);
  await assert.rejects(second, { code: "DEADLINE_EXCEEDED" });
  let ran = false;
  const third = box.run("being too late", async () => {
    ran = true;
  });
  await assert.rejects(third, /while being too late/);
  assert.equal(ran, false);
});

test("an abort ends a step and a pause at once, with its reason as the cause", async () => {
  const clock = createManualClock();
  const abort = new AbortController();
  const box = createTimeBox(clock, 100, abort.signal);
  const step = box.run("doing one thing", never);
  const pause = box.pause("resting", 50);
  abort.abort("stop it");
  await assert.rejects(step, {
    code: "ABORTED",
    message: "[ABORTED] aborted by the caller while doing one thing",
    cause: "stop it",
  });
  await assert.rejects(pause, { code: "ABORTED", message: "[ABORTED] aborted by the caller while resting" });
  await assert.rejects(box.run("another", never), { code: "ABORTED" });
  await new Promise(setImmediate);
  assert.equal(clock.pendingTimers, 0);
});

test("a step's own failure passes as it is; its own shorter deadline is not taken for ours", async () => {
  const box = createTimeBox(createManualClock(), 100);
  const own = new BrokerError("DEADLINE_EXCEEDED", "the probe took too long");
  await assert.rejects(
    box.run("probing", async () => {
      throw own;
    }),
    (error) => error === own,
  );
});

test("a limit of infinity arms no timer", async () => {
  const clock = createManualClock();
  const box = createTimeBox(clock, Number.POSITIVE_INFINITY);
  assert.equal(await box.run("counting", async () => clock.pendingTimers), 0);
});
