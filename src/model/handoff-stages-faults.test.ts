/** A handoff that fails at each of its stages: what is undone, and what is said of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createWorld, type Faults, HANDLE, type System, TABLES } from "../../test/model/support/handoff-world.ts";
import { BrokerError } from "../base/errors.ts";
import {
  type HandoffOutcome,
  type StageResult,
  type UnixTransportError,
  unixTransportError,
  type WindowsTransportError,
} from "./handoff-stages.ts";

/** `calls`: what ran, without arguments. */
interface Fault {
  readonly name: string;
  readonly system: System;
  readonly effects: Faults;
  readonly calls: readonly string[];
  readonly outcome: Omit<Extract<HandoffOutcome<string>, { kind: "fallback" }>, "kind" | "detail">;
  readonly detail: RegExp;
}

const fails = (error: UnixTransportError | WindowsTransportError) => (): StageResult => ({
  ok: false,
  error,
  detail: `it was ${error}`,
});
const throws = (error: unknown) => (): never => {
  throw error;
};
const timesOut = throws(new BrokerError("DEADLINE_EXCEEDED", "no acknowledgement in 5000 ms"));

const SENT = ["send", "awaitAck"];
const DELIVERED = ["duplicate", "deliver", "awaitAck"];
const SEVERED = ["revoke", "sever"];
const AWAIT = { stage: "await-ack", reason: "backend-ack-timeout", backend: "reached", severed: true } as const;
const ACKNOWLEDGE = { ...AWAIT, stage: "acknowledge" } as const;
const UNSENT = { stage: "send", backend: "not-reached", severed: false } as const;
const LEAKED = { leakedHandle: HANDLE };

const FAULTS: readonly Fault[] = [
  {
    name: "handoff_unix_orchestrate: send unavailable: stage Send, fd not reached, no ack wait",
    system: "unix",
    effects: { send: fails("backend-socket-unavailable") },
    calls: ["send", "revoke"],
    outcome: { ...UNSENT, reason: "backend-ack-timeout" },
    detail: /^it was backend-socket-unavailable$/,
  },
  {
    name: "handoff_unix_orchestrate: send permission denied: PermissionDenied",
    system: "unix",
    effects: { send: fails("permission-denied") },
    calls: ["send", "revoke"],
    outcome: { ...UNSENT, reason: "permission-denied" },
    detail: /permission/,
  },
  {
    name: "handoff_unix_orchestrate: missing socket path: stage Send, no panic",
    system: "unix",
    effects: { send: () => ({ ok: false, error: unixTransportError("connect", "ENOENT"), detail: "ENOENT" }) },
    calls: ["send", "revoke"],
    outcome: { ...UNSENT, reason: "backend-ack-timeout" },
    detail: /ENOENT/,
  },
  {
    name: "a short send: stage Send, but the descriptor did reach the backend",
    system: "unix",
    effects: { send: fails("sent-in-part") },
    calls: ["send", ...SEVERED],
    outcome: { stage: "send", reason: "backend-ack-timeout", backend: "reached", severed: true },
    detail: /sent-in-part/,
  },
  {
    name: "a send that throws may have reached the backend",
    system: "unix",
    effects: { send: throws(new TypeError("broken")) },
    calls: ["send", ...SEVERED],
    outcome: { stage: "send", reason: "backend-ack-timeout", backend: "reached", severed: true },
    detail: /^broken$/,
  },
  {
    name: "a send with an error that is Windows' business is not understood",
    system: "unix",
    effects: { send: fails("integrity-mismatch") },
    calls: ["send", ...SEVERED],
    outcome: { stage: "send", reason: "backend-ack-timeout", backend: "reached", severed: true },
    detail: /integrity/,
  },
  {
    name: "handoff_unix_orchestrate: ack time-out: stage AwaitAck, fd reached",
    system: "unix",
    effects: { awaitAck: timesOut },
    calls: [...SENT, ...SEVERED],
    outcome: AWAIT,
    detail: /^no acknowledgement in 5000 ms$/,
  },
  {
    name: "an ack that rejects later is no different",
    system: "unix",
    effects: { awaitAck: () => Promise.reject(new Error("EOF before ack")) },
    calls: [...SENT, ...SEVERED],
    outcome: AWAIT,
    detail: /EOF before ack/,
  },
  {
    name: "handoff_unix_orchestrate: ack past registered deadline: stage Acknowledge, fd reached",
    system: "unix",
    effects: { acknowledge: () => ({ ok: false, detail: "acknowledged after 5000 ms, deadline 5000 ms" }) },
    calls: [...SENT, "acknowledge", ...SEVERED],
    outcome: ACKNOWLEDGE,
    detail: /deadline/,
  },
  {
    name: "handoff_wire: refused ack: the backend's text, and the broker stays the only owner",
    system: "unix",
    effects: { awaitAck: () => ({ ok: false, rejected: true, detail: "handoff token mismatch" }) },
    calls: [...SENT, "revoke"],
    outcome: { ...AWAIT, severed: false },
    detail: /^handoff token mismatch$/,
  },
  {
    name: "handoff_orchestrate: duplicate fails: stage Duplicate, token revoked, delivery never called",
    system: "windows",
    effects: { duplicate: fails("cannot-open-backend") },
    calls: ["duplicate", "revoke"],
    outcome: { stage: "duplicate", reason: "permission-denied", backend: "not-reached", severed: false },
    detail: /cannot-open-backend/,
  },
  {
    name: "handoff_fallback_perm_denied: integrity failure: matching reason",
    system: "windows",
    effects: { duplicate: fails("integrity-mismatch") },
    calls: ["duplicate", "revoke"],
    outcome: { stage: "duplicate", reason: "integrity-mismatch", backend: "not-reached", severed: false },
    detail: /integrity/,
  },
  {
    name: "a duplication that throws may have happened",
    system: "windows",
    effects: { duplicate: throws("odd") },
    calls: ["duplicate", ...SEVERED],
    outcome: { stage: "duplicate", reason: "backend-ack-timeout", backend: "reached", severed: true },
    detail: /^odd$/,
  },
  {
    name: "handoff_orchestrate: deliver fails: stage Deliver, leaked handle recorded, no ack wait",
    system: "windows",
    effects: { deliver: throws(new BrokerError("IO_FAILED", "write failed: EPIPE", { details: { errno: "EPIPE" } })) },
    calls: ["duplicate", "deliver", ...SEVERED],
    outcome: { stage: "deliver", reason: "backend-ack-timeout", backend: "reached", severed: true, ...LEAKED },
    detail: /EPIPE/,
  },
  {
    name: "handoff_orchestrate: ack never: stage AwaitAck, BackendAckTimeout, leaked handle",
    system: "windows",
    effects: { awaitAck: timesOut },
    calls: [...DELIVERED, ...SEVERED],
    outcome: { ...AWAIT, ...LEAKED },
    detail: /no acknowledgement/,
  },
  {
    name: "handoff_orchestrate: ack stamped after registered deadline: stage Acknowledge, revoked",
    system: "windows",
    effects: { acknowledge: () => ({ ok: false, detail: "handoff token is not pending" }) },
    calls: [...DELIVERED, "acknowledge", ...SEVERED],
    outcome: { ...ACKNOWLEDGE, ...LEAKED },
    detail: /not pending/,
  },
  {
    name: "a refusing backend has closed its handle: whatever has that value now is not ours to close",
    system: "windows",
    effects: { awaitAck: () => ({ ok: false, rejected: true, detail: "no" }) },
    calls: [...DELIVERED, "revoke"],
    outcome: { ...AWAIT, severed: false },
    detail: /^no$/,
  },
];

describe("a handoff that fails", () => {
  for (const fault of FAULTS) {
    test(fault.name, async () => {
      const world = createWorld();
      const outcome = await world.run(fault.system, fault.effects);
      assert.equal(outcome.kind, "fallback");
      const { kind, detail, ...facts } = outcome as Extract<typeof outcome, { kind: "fallback" }>;
      assert.deepEqual(facts, fault.outcome);
      assert.match(detail, fault.detail);
      assert.deepEqual(
        world.calls.map((call) => call.replace(/\(.*/, "")),
        fault.calls,
      );
      world.assertTokenGone();
    });
  }

  test("is tested at every stage of both systems", () => {
    for (const [system, table] of Object.entries(TABLES)) {
      const failed = new Set(FAULTS.filter((fault) => fault.system === system).map((fault) => fault.outcome.stage));
      assert.deepEqual([...failed].sort(), table.map((row) => row.stage).sort(), system);
    }
  });

  test("is over even when giving up fails, which is told; severing is not skipped", async () => {
    const world = createWorld();
    const outcome = await world.run(
      "unix",
      { awaitAck: timesOut },
      {
        revoke: () => {
          world.calls.push("revoke(failing)");
          throw new Error("first");
        },
        sever: () => Promise.reject(new Error("second")),
      },
    );
    assert.ok(outcome.kind === "fallback");
    assert.equal(outcome.detail, "no acknowledgement in 5000 ms; revoke failed: first; sever failed: second");
    assert.equal(outcome.severed, true);
  });

  test("waits for its severing before it is over", async () => {
    const world = createWorld();
    const severing = deferred();
    const seen: string[] = [];
    const running = world.run("unix", { awaitAck: timesOut }, { sever: () => severing.promise });
    const over = running.then(() => seen.push("over"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(seen, []);
    severing.resolve();
    await over;
  });

  test("hangs as long as its effect does, and revokes nothing meanwhile", async () => {
    const world = createWorld();
    const acknowledgement = deferred();
    const running = world.run("unix", { awaitAck: () => acknowledgement.promise.then(timesOut) });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(world.calls, ["send(0)", "awaitAck(0)"]);
    assert.equal(world.registry.pending, 1);
    acknowledgement.resolve();
    assert.equal((await running).kind, "fallback");
    world.assertTokenGone();
  });

  test("handoff_unix_orchestrate: a late ack after the time-out is not pending", async () => {
    const world = createWorld();
    await world.run("unix", { awaitAck: timesOut });
    const late = world.registry.acknowledge(world.token, 1);
    assert.ok(!late.ok && late.reason === "not-pending");
  });

  test("handoff_wire: ack after 50 ms with 1 ms deadline: fallback, revoked", async () => {
    const world = createWorld({ deadlineMs: 1, acknowledgedAtMs: 50 });
    const outcome = await world.run("unix", {});
    assert.ok(outcome.kind === "fallback");
    assert.deepEqual([outcome.stage, outcome.detail], ["acknowledge", "acknowledged after 50 ms, deadline 1 ms"]);
    world.assertTokenGone();
  });
});

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let settle: (() => void) | undefined;
  const promise = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: () => settle?.() };
}
