import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { createEventFold } from "./event-fold.ts";

function setUp() {
  const clock = createManualClock();
  const told: string[] = [];
  const fold = createEventFold({ clock, tell: ({ event, count }) => told.push(`${event.message} ${count}`) });
  return { clock, told, fold };
}

function refusal(service: string, message = service): BrokerEvent {
  return { type: "hello-refused", level: "info", message, service, version: "1.0.0", code: "SERVICE_UNKNOWN" };
}

test("the first ones are told at once, the others every ten seconds as the latest of them, with their number", () => {
  const { clock, told, fold } = setUp();
  for (let i = 0; i < 1000; i++) fold.offer(refusal("svc", `n${i}`), true);
  assert.deepEqual([told.length, told.at(-1)], [16, "n15 1"]);
  clock.advance(10_000);
  assert.deepEqual([told.length, told.at(-1)], [17, "n999 984"]);
  assert.equal(clock.pendingTimers, 0);
});

test("names that are made up make no more lines than a few hundred, and none goes uncounted", () => {
  const { clock, told, fold } = setUp();
  for (let i = 0; i < 100_000; i++) fold.offer(refusal(`made-up-${i}`), true);
  assert.ok(told.length < 200, `${told.length} lines`);
  clock.advance(10_000);
  assert.equal(
    told.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0),
    100_000,
  );
});

test("what is held is told by a flush, and nothing after the end", () => {
  const { clock, told, fold } = setUp();
  for (let i = 0; i < 20; i++) fold.offer(refusal("svc"), true);
  fold.flush();
  assert.deepEqual([told.length, told.at(-1), clock.pendingTimers], [17, "svc 4", 0]);
  fold.offer(refusal("svc"), true);
  fold.close();
  assert.equal(told.at(-1), "svc 1");
  fold.offer(refusal("another"), true);
  assert.equal(told.length, 18);
});
