import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerError } from "../../base/errors.ts";
import type { BackendEvent, BackendState } from "../../model/backend-state.ts";
import type { ExitStatus } from "../../model/exit-status.ts";
import { EVENT_KINDS, type LifecycleEvent } from "../../model/lifecycle-event.ts";
import { refuse } from "../../model/refusal.ts";
import { createServiceDefinition } from "../../model/service-definition.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import { type BrokerEvents, createBrokerEvents } from "./events.ts";
import { recordRow, toLifecycleEvent } from "./record-kinds.ts";

const KEY = { instanceId: "shared", service: "demo", version: "1.2.0" };
const HELLO = {
  type: "hello",
  service: "demo",
  version: "1.2.0",
  pid: 20,
  connectionId: 3n,
  durationMs: 1,
  requestId: 4n,
  given: undefined,
} as const;

function setUp(): { clock: ReturnType<typeof createManualClock>; events: BrokerEvents; records: LifecycleEvent[] } {
  const clock = createManualClock();
  const records: LifecycleEvent[] = [];
  const events = createBrokerEvents(clock, (event) => {
    const row = recordRow(event);
    if (row === undefined) return;
    records.push(toLifecycleEvent(event, row, { tsMs: clock.wallMs(), count: 1, instance: "shared", brokerPid: 7 }));
  });
  return { clock, events, records };
}

function change(
  events: BrokerEvents,
  event: BackendEvent,
  from: BackendState,
  to: BackendState,
  exit?: ExitStatus,
): void {
  events.backend({ key: KEY, pid: 50, event, from, to, exit });
}

const told = (records: readonly LifecycleEvent[]): string[] => records.map(({ kind, reason }) => `${kind}: ${reason}`);

test("a launch says why it was necessary, and how the one before it ended", () => {
  const { clock, events, records } = setUp();
  events.launching(KEY, 20);
  clock.advance(271);
  change(events, "ready", "spawning", "running");
  change(events, "exited", "running", "absent", { code: null, signal: "SIGSEGV" });
  events.launching(KEY, 21);
  change(events, "ready", "spawning", "running");
  change(events, "exited", "running", "absent", { code: 0, signal: null });
  events.launching(KEY, 0);
  events.launchFailed(KEY, {
    pid: 51,
    error: new BrokerError("PROCESS_EXITED", "backend exited", { details: { logTail: "a\nno space" } }),
    ending: false,
  });
  events.launching(KEY, 22);
  assert.deepEqual(told(records), [
    "SPAWN_ATTEMPT: for a Hello of pid 20: no backend of this version has run under this broker",
    "SPAWN: ready 271 ms after its launch began",
    "DIED_CRASH: crashed by signal SIGSEGV",
    "SPAWN_ATTEMPT: for a Hello of pid 21: the last one (pid 50) crashed by signal SIGSEGV",
    "SPAWN: ready 0 ms after its launch began",
    "DIED_IDLE: ended by itself with status 0",
    "SPAWN_ATTEMPT: for a Hello: the last one (pid 50) ended by itself with status 0",
    "DIED_CRASH: backend exited; last output: no space",
    "SPAWN_ATTEMPT: for a Hello of pid 22: the last launch failed: backend exited; last output: no space",
  ]);
});

test("an end that was asked for says so, and whether it took force", () => {
  const { events, records } = setUp();
  change(events, "stop", "running", "draining");
  change(events, "exited", "draining", "absent", { code: 0, signal: null });
  change(events, "not-serving", "running", "draining");
  change(events, "stop-timeout", "draining", "draining");
  change(events, "exited", "draining", "absent", { code: null, signal: "SIGKILL" });
  change(events, "exited", "running", "absent", { code: 2, signal: null });
  assert.deepEqual(told(records), [
    "EVENT_KIND_UNSPECIFIED: was asked to end",
    "DIED_SHUTDOWN: ended with status 0 after it was asked to",
    "EVENT_KIND_UNSPECIFIED: was asked to end because its endpoint accepts nobody any more",
    "EVENT_KIND_UNSPECIFIED: did not end in time and was killed",
    "DIED_SHUTDOWN: ended by signal SIGKILL after its endpoint accepted nobody and did not in time",
    "DIED_CRASH: crashed with status 2",
  ]);
});

test("a failed launch is one record, of the kind that fits", () => {
  const { events, records } = setUp();
  const fail = (
    code: "SPAWN_FAILED" | "IDENTITY_MISMATCH" | "PROCESS_EXITED",
    pid: number | undefined,
    ending = false,
  ) => {
    if (pid !== undefined) change(events, "launch-failed", "spawning", "failed");
    events.launchFailed(KEY, { pid, error: new BrokerError(code, "it failed"), ending });
  };
  fail("SPAWN_FAILED", undefined);
  fail("IDENTITY_MISMATCH", 51);
  fail("PROCESS_EXITED", 52);
  fail("PROCESS_EXITED", 53, true);
  assert.deepEqual(
    records.map(({ kind, extra }) => `${kind} ${extra.code}`),
    [
      "EVENT_KIND_UNSPECIFIED SPAWN_FAILED",
      "SECURITY_VIOLATION IDENTITY_MISMATCH",
      "DIED_CRASH PROCESS_EXITED",
      "DIED_SHUTDOWN SHUTTING_DOWN",
    ],
  );
});

test("Hellos and what becomes of their connections", () => {
  const { events, records } = setUp();
  const given = { key: KEY, how: "joined", pid: 50 } as const;
  events.connection({ ...HELLO, refusal: undefined, given });
  events.connection({ ...HELLO, refusal: refuse("VERSION_BLOCKED", "below the floor") });
  events.connection({ ...HELLO, refusal: refuse("SERVICE_UNKNOWN", "service definition was not found") });
  events.connection({ type: "unreadable", pid: 21, refusal: refuse("SHUTTING_DOWN", "broker is shutting down") });
  events.connection({ type: "peer-rejected", pid: 22, identity: "1001" });
  events.connection({ type: "admin", pid: 23 });
  events.connection({ type: "dropped", error: new Error("gone") });
  const outcome = { kind: "completed", waitedMs: 0 } as const;
  events.handoff({ key: KEY, connectionId: 3n, direct: true, micros: 46, outcome });
  events.handoff({
    key: KEY,
    connectionId: 5n,
    direct: false,
    micros: 5_000_000,
    outcome: {
      kind: "fallback",
      stage: "await-ack",
      reason: "backend-ack-timeout",
      backend: "reached",
      severed: true,
      detail: "no acknowledgement",
    },
  } as Parameters<BrokerEvents["handoff"]>[0]);
  events.handoffSkipped(KEY, "client-unsupported");
  events.handoffSkipped(KEY, "fd-pressure-disabled");
  assert.deepEqual(told(records), [
    "HELLO_ACCEPTED: got the backend launched for another Hello (pid 50)",
    "VERSION_MISMATCH: below the floor",
    "HELLO_REFUSED: service definition was not found",
    "HELLO_REFUSED: broker is shutting down",
    "SECURITY_VIOLATION: dropped a peer that is not us: pid 22, uid 1001",
    "HELLO_ACCEPTED: handed a connection to demo 1.2.0 in 46 us",
    "PROTOCOL_DOWNGRADE: no acknowledgement",
    "PROTOCOL_DOWNGRADE: the broker is short of descriptors",
  ]);
  const [accepted] = records;
  assert.deepEqual(
    [accepted?.pid, accepted?.connectionId, accepted?.requestId, accepted?.extra.backend_pid],
    [20, 3, "4", "50"],
  );
});

test("what concerns the broker, its definitions and its resources", () => {
  const { events, records } = setUp();
  const definition = createServiceDefinition({
    serviceName: "demo",
    binaryPath: "/opt/demo",
    labels: { "exec.env.TOKEN": "secret" },
  });
  events.started("/run/b.sock", "shared");
  events.definition(definition, undefined);
  events.definition(definition, [{ field: "exec.env.TOKEN", from: "old", to: "secret" }]);
  events.logFault(KEY, "/logs/x.log", "ENOSPC");
  events.fdExhausted("EMFILE");
  events.fdRecovered();
  events.rebound("/run/b.sock");
  events.reaped(2);
  events.swept(1);
  events.acceptFailed("ECONNABORTED");
  events.lifecycleFault("/logs/lifecycle.jsonl", "ENOSPC");
  events.lifecycleResumed("/logs/lifecycle.jsonl", 5);
  events.lostEndpoint("/run/b.sock", "gone");
  events.stopping("requested");
  events.stopped("requested", [50]);
  assert.deepEqual(
    records.map(({ kind, extra }) => (kind === "EVENT_KIND_UNSPECIFIED" ? extra.type : kind)),
    [
      "broker-started",
      "SERVICE_DEF_LOADED",
      "SERVICE_DEF_CHANGED",
      "RESOURCE_PRESSURE",
      "RESOURCE_PRESSURE",
      "RESOURCE_PRESSURE",
      "endpoint-rebound",
      "launches-reaped",
      "endpoints-swept",
      "accept-failed",
      "lifecycle-log-resumed",
      "endpoint-lost",
      "broker-stopping",
      "broker-stopped",
    ],
  );
  assert.ok(records.every(({ reason }) => reason !== "" && !reason.includes("secret")));
  assert.equal(records.find(({ extra }) => extra.type === "lifecycle-log-resumed")?.extra.lost, "5");
});

test("an event that the table does not know is on record with its message, unless it is for debugging", () => {
  const event = { type: "something-new", level: "info", message: "it happened" } as const;
  const row = recordRow(event);
  assert.ok(row !== undefined);
  const record = toLifecycleEvent(event, row, { tsMs: 1, count: 3, instance: "shared", brokerPid: 7 });
  assert.deepEqual(
    [record.kind, record.reason, record.extra],
    ["EVENT_KIND_UNSPECIFIED", "it happened", { type: "something-new", count: "3", broker_pid: "7" }],
  );
  assert.ok(Object.hasOwn(EVENT_KINDS, record.kind));
  assert.equal(recordRow({ ...event, level: "debug" }), undefined);
});

// Each of these was a line in the broker's log for every connection of a peer that tries in a loop.
test("what peers cause at any rate they like is folded", () => {
  const types = [
    "accept-failed",
    "control-refused",
    "fd-pressure",
    "fd-pressure-over",
    "handoff-fallback",
    "handoff-skipped",
    "hello-accepted",
    "hello-refused",
    "peer-rejected",
    "request-refused",
  ];
  for (const type of types) assert.equal(recordRow({ type, level: "warn", message: "" })?.often, true, type);
});
