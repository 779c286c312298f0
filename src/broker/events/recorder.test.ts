import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../../base/errors.ts";
import { decodeLifecycleEvent, type LifecycleEvent } from "../../model/lifecycle-event.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { createLifecycleRecorder } from "./recorder.ts";

function setUp() {
  const clock = createManualClock();
  const records: LifecycleEvent[] = [];
  const told: string[] = [];
  const state = { full: false, closed: false };
  const recorder = createLifecycleRecorder({
    clock,
    brokerPid: 77,
    instance: () => "shared",
    log: {
      path: "/logs/lifecycle.jsonl",
      append(line) {
        assert.ok(!state.closed, "written after the end");
        if (state.full) throw new BrokerError("IO_FAILED", "write failed: ENOSPC");
        const record = decodeLifecycleEvent(line.trimEnd());
        assert.ok(record !== undefined && line.endsWith("}\n"));
        records.push(record);
      },
      close: () => {
        state.closed = true;
      },
    },
    onFault: (path, fault) => told.push(`fault ${path}: ${fault}`),
    onResumed: (_, lost) => told.push(`resumed ${lost}`),
  });
  return { clock, records, told, state, recorder };
}

function hello(n: number): BrokerEvent {
  return {
    type: "hello-accepted",
    level: "debug",
    message: "m",
    service: "demo",
    version: "1.0.0",
    pid: 100 + n,
    connection_id: String(n),
    request_id: "9",
    how: "reused",
    backend_pid: 5,
  };
}

const CRASH: BrokerEvent = { type: "broker-started", level: "info", message: "serving" };

test("a record is written at the end of the turn, not before", () => {
  const { clock, records, recorder } = setUp();
  recorder.record(hello(1));
  recorder.record(CRASH);
  assert.equal(records.length, 0);
  clock.advance(0);
  assert.deepEqual(records[0], {
    tsMs: clock.wallMs(),
    pid: 101,
    service: "demo",
    kind: "HELLO_ACCEPTED",
    reason: "got the running backend (pid 5)",
    extra: { type: "hello-accepted", broker_pid: "77", version: "1.0.0", how: "reused", backend_pid: "5" },
    severity: "DEBUG",
    requestId: "9",
    connectionId: 1,
    instance: "shared",
  });
  assert.equal(records[1]?.extra.type, "broker-started");
});

test("a thousand Hellos a second for a minute are a few records that count every one", () => {
  const { clock, records, recorder } = setUp();
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 1000; i++) recorder.record(hello(i));
    clock.advance(1000);
  }
  recorder.close();
  assert.ok(records.length <= 16 + 7, `${records.length} records`);
  assert.equal(
    records.reduce((sum, { extra }) => sum + Number(extra.count ?? 1), 0),
    60_000,
  );
  assert.equal(clock.pendingTimers, 0);
});

test("a storm of one kind leaves launches and ends as they are", () => {
  const { clock, records, recorder } = setUp();
  for (let i = 0; i < 500; i++) recorder.record(hello(i));
  recorder.record({ ...CRASH, type: "backend-launching", service: "demo", version: "1.0.0", reason: "for a Hello" });
  clock.advance(0);
  assert.equal(records.at(-1)?.kind, "SPAWN_ATTEMPT");
});

test("a full disk is told once, what is lost is counted, and writing resumes by itself", () => {
  const { clock, records, told, state, recorder } = setUp();
  state.full = true;
  for (let i = 0; i < 3; i++) {
    recorder.record(CRASH);
    clock.advance(0);
  }
  assert.deepEqual(told, ["fault /logs/lifecycle.jsonl: write failed: ENOSPC"]);
  state.full = false;
  recorder.record(CRASH);
  clock.advance(0);
  assert.deepEqual(told.slice(1), ["resumed 3"]);
  assert.equal(records.length, 1);
  state.full = true;
  recorder.record(CRASH);
  clock.advance(0);
  assert.equal(told.length, 3);
});

test("an ordinary end writes all there is, held ones too, and nothing after it", () => {
  const { clock, records, state, recorder } = setUp();
  for (let i = 0; i < 40; i++) recorder.record(hello(i));
  recorder.close();
  assert.equal(
    records.reduce((sum, { extra }) => sum + Number(extra.count ?? 1), 0),
    40,
  );
  assert.ok(state.closed);
  recorder.record(CRASH);
  recorder.close();
  clock.advance(60_000);
  assert.equal(clock.pendingTimers, 0);
});
