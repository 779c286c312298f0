import assert from "node:assert/strict";
import test from "node:test";
import { DEFAULT_IDLE_TIMEOUT_MS } from "../../model/exec-settings.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { LeaseReport } from "../control/control-requests.ts";
import { type IdleSubject, watchIdle } from "./idle-watch.ts";

interface Subject {
  timeoutMs: number | "never" | undefined;
  hello: number;
  leases: number | undefined;
  connections: number | undefined;
}

function reportOf(requests: number | undefined): LeaseReport | undefined {
  return requests === undefined
    ? undefined
    : { idle: requests === 0, requests, connections: 0, held: 0, reasons: [], begun: 0n };
}

function setUp(init: Partial<Subject> = {}) {
  const clock = createManualClock();
  const subject: Subject = { timeoutMs: 1000, hello: 0, leases: undefined, connections: 0, ...init };
  let leaseChanged = (): void => {};
  const control: IdleSubject["control"] = {
    leases: () => reportOf(subject.leases),
    onLeaseChange: (callback) => {
      leaseChanged = () => callback(undefined);
      return () => {
        leaseChanged = () => {};
      };
    },
  };
  const ports: IdleSubject = {
    timeout: () => subject.timeoutMs,
    lastHello: () => subject.hello,
    control,
    connections: () => subject.connections,
  };
  const seen = { idle: 0 };
  const watch = watchIdle(clock, ports, () => seen.idle++);
  const lease = (count: number): void => {
    subject.leases = count;
    leaseChanged();
  };
  return { clock, subject, seen, watch, lease };
}

test("nobody uses it for its time-out: it is idle, once", () => {
  const { clock, seen } = setUp();
  clock.advance(999);
  assert.equal(seen.idle, 0);
  clock.advance(250);
  assert.equal(seen.idle, 1);
  clock.advance(10_000);
  assert.equal(seen.idle, 1);
  assert.equal(clock.pendingTimers, 0);
});

test("a Hello begins the time-out anew", () => {
  const { clock, subject, seen } = setUp();
  for (let round = 1; round <= 10; round++) {
    clock.advance(700);
    subject.hello = round;
  }
  assert.equal(seen.idle, 0);
  clock.advance(1500);
  assert.equal(seen.idle, 1);
});

test("with a lease or a connection it is never idle, and its time-out begins when the last is gone", () => {
  for (const use of [{ leases: 1 }, { connections: 1 }, { leases: 1, connections: 0 }]) {
    const { clock, subject, seen } = setUp(use);
    clock.advance(100_000);
    assert.equal(seen.idle, 0, JSON.stringify(use));
    Object.assign(subject, { leases: use.leases === undefined ? undefined : 0, connections: 0 });
    clock.advance(999);
    assert.equal(seen.idle, 0, JSON.stringify(use));
    clock.advance(500);
    assert.equal(seen.idle, 1, JSON.stringify(use));
  }
});

test("a lease that comes and goes between two looks is use all the same", () => {
  const { clock, seen, lease } = setUp({ leases: 0 });
  for (let round = 0; round < 10; round++) {
    clock.advance(610);
    lease(1);
    lease(0);
  }
  assert.equal(seen.idle, 0);
});

test("what cannot be counted is in use, unless it reports its leases", () => {
  const unknown = setUp({ connections: undefined });
  unknown.clock.advance(100_000);
  assert.equal(unknown.seen.idle, 0);
  const reporting = setUp({ connections: undefined, leases: 0 });
  reporting.clock.advance(1_250);
  assert.equal(reporting.seen.idle, 1);
});

test("what it says of itself counts more than connections that can be seen: its author may not count them", () => {
  const reporting = setUp({ connections: 3, leases: 0 });
  reporting.clock.advance(1_250);
  assert.equal(reporting.seen.idle, 1);
});

test("without a time-out only a backend that reports leases is ever idle, and none with never", () => {
  const silent = setUp({ timeoutMs: undefined });
  silent.clock.advance(10 * DEFAULT_IDLE_TIMEOUT_MS);
  assert.equal(silent.seen.idle, 0);
  const never = setUp({ timeoutMs: "never", leases: 0 });
  never.clock.advance(10 * DEFAULT_IDLE_TIMEOUT_MS);
  assert.equal(never.seen.idle, 0);
  const reporting = setUp({ timeoutMs: undefined, leases: 0 });
  reporting.clock.advance(DEFAULT_IDLE_TIMEOUT_MS - 1);
  assert.equal(reporting.seen.idle, 0);
  reporting.clock.advance(60_001);
  assert.equal(reporting.seen.idle, 1);
});

test("a time-out that is edited counts from the next look", () => {
  const { clock, subject, seen } = setUp({ timeoutMs: "never" });
  clock.advance(120_000);
  subject.timeoutMs = 1000;
  clock.advance(62_000);
  assert.equal(seen.idle, 1);
});

test("a watch that is closed says nothing and leaves no timer", () => {
  const { clock, seen, watch } = setUp();
  watch.close();
  assert.equal(clock.pendingTimers, 0);
  clock.advance(10_000);
  assert.equal(seen.idle, 0);
});
