import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { BrokerError } from "../base/errors.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { checkAck, encodeAck } from "../wire/handoff.ts";
import { type AckRegistry, createAckRegistry } from "./ack-registry.ts";
import { FALLBACK_REASONS, type FallbackReason } from "./handoff-policy.ts";
import {
  type HandoffEffects,
  type HandoffOutcome,
  type HandoffStageRow,
  runHandoff,
  type StageResult,
  UNIX_HANDOFF,
  UNIX_TRANSPORT_ERRORS,
  type UnixEffect,
  type UnixTransportError,
  unixTransportError,
  WINDOWS_HANDOFF,
  WINDOWS_TRANSPORT_ERRORS,
  type WindowsEffect,
  type WindowsTransportError,
  windowsTransportError,
} from "./handoff-stages.ts";
import { createHandoffTokenStore, type HandoffToken, type HandoffTokenStore } from "./handoff-tokens.ts";

const HANDLE = 3052n;
const TABLES = { unix: UNIX_HANDOFF, windows: WINDOWS_HANDOFF } as const;
type System = keyof typeof TABLES;

describe("the tables", () => {
  for (const [system, table] of Object.entries(TABLES) as [System, readonly HandoffStageRow[]][]) {
    test(`${system}: every stage and every effect once, acknowledged last`, () => {
      assert.equal(new Set(table.map((row) => row.stage)).size, table.length);
      assert.equal(new Set(table.map((row) => row.effect)).size, table.length);
      assert.deepEqual(
        table.slice(-2).map((row) => row.stage),
        ["await-ack", "acknowledge"],
      );
    });

    test(`${system}: only the first stage can fail before the backend has a duplicate`, () => {
      const [first, ...rest] = table;
      assert.equal(first?.backend, "by-transport-error");
      assert.equal(first?.handle, "none");
      for (const row of rest)
        assert.deepEqual([row.backend, row.reason], ["reached", "backend-ack-timeout"], row.stage);
      for (const row of rest) assert.equal(row.handle, system === "windows" ? "leaked" : "none", row.stage);
    });
  }

  test("stages are those of the spec", () => {
    assert.deepEqual(
      UNIX_HANDOFF.map((row) => row.stage),
      ["send", "await-ack", "acknowledge"],
    );
    assert.deepEqual(
      WINDOWS_HANDOFF.map((row) => row.stage),
      ["duplicate", "deliver", "await-ack", "acknowledge"],
    );
  });

  test("every transport error maps to a reason that exists", () => {
    for (const row of [...Object.values(UNIX_TRANSPORT_ERRORS), ...Object.values(WINDOWS_TRANSPORT_ERRORS)])
      assert.ok(row.reason in FALLBACK_REASONS);
  });
});

describe("handoff_transport: errno, transport error, reason", () => {
  const unix: readonly (readonly ["connect" | "send", string, UnixTransportError, FallbackReason])[] = [
    ...(["connect", "send"] as const).flatMap((call) => [
      [call, "EACCES", "permission-denied", "permission-denied"] as const,
      [call, "EPERM", "permission-denied", "permission-denied"] as const,
      [call, "EAGAIN", "would-block", "backend-ack-timeout"] as const,
      [call, "EWOULDBLOCK", "would-block", "backend-ack-timeout"] as const,
      [call, "ECONNREFUSED", "backend-socket-unavailable", "backend-ack-timeout"] as const,
      [call, "ECONNRESET", "backend-socket-unavailable", "backend-ack-timeout"] as const,
      [call, "EPIPE", "backend-socket-unavailable", "backend-ack-timeout"] as const,
      [call, "ENOTCONN", "backend-socket-unavailable", "backend-ack-timeout"] as const,
    ]),
    ["connect", "ENOENT", "backend-socket-unavailable", "backend-ack-timeout"],
    ["connect", "ETOOMANYREFS", "backend-socket-unavailable", "backend-ack-timeout"],
    ["send", "ENOENT", "send-failed", "backend-ack-timeout"],
    ["send", "ETOOMANYREFS", "send-failed", "backend-ack-timeout"],
    ["send", "toString", "send-failed", "backend-ack-timeout"],
  ];
  for (const [call, errno, error, reason] of unix) {
    test(`${call} ${errno}: ${error}, ${reason}, not reached`, () => {
      assert.equal(unixTransportError(call, errno), error);
      assert.deepEqual(UNIX_TRANSPORT_ERRORS[error], { reason, backend: "not-reached" });
    });
  }

  const windows: readonly (readonly ["open" | "duplicate", number, WindowsTransportError])[] = [
    ["open", 5, "permission-denied"],
    ["open", 87, "cannot-open-backend"],
    ["duplicate", 5, "permission-denied"],
    ["duplicate", 6, "duplicate-failed"],
  ];
  for (const [call, code, error] of windows) {
    test(`${call} ${code}: ${error}, permission-denied`, () => {
      assert.equal(windowsTransportError(call, code), error);
      assert.deepEqual(WINDOWS_TRANSPORT_ERRORS[error], { reason: "permission-denied", backend: "not-reached" });
    });
  }

  test("errors without a number of their own", () => {
    assert.deepEqual(UNIX_TRANSPORT_ERRORS["sent-in-part"], { reason: "backend-ack-timeout", backend: "reached" });
    assert.equal(UNIX_TRANSPORT_ERRORS["unsupported-platform"].reason, "service-policy-disabled");
    assert.equal(WINDOWS_TRANSPORT_ERRORS["unsupported-platform"].reason, "service-policy-disabled");
    assert.equal(WINDOWS_TRANSPORT_ERRORS["integrity-mismatch"].reason, "integrity-mismatch");
    assert.equal(WINDOWS_TRANSPORT_ERRORS["backend-ack-timeout"].reason, "backend-ack-timeout");
  });
});

describe("a handoff that goes well", () => {
  test("unix: completes, token consumed once, nothing revoked or severed by the runner", async () => {
    const world = createWorld();
    const outcome = await world.run("unix", {});
    assert.deepEqual(outcome, { kind: "completed", waitedMs: 3 });
    assert.deepEqual(world.calls, ["send(0)", "awaitAck(0)", "acknowledge(0)"]);
    world.assertTokenGone();
  });

  test("windows: the duplicate's value reaches the offer", async () => {
    const world = createWorld();
    const outcome = await world.run("windows", {});
    assert.deepEqual(outcome, { kind: "completed", waitedMs: 3 });
    assert.deepEqual(world.calls, [
      "duplicate(0)",
      `deliver(${HANDLE})`,
      `awaitAck(${HANDLE})`,
      `acknowledge(${HANDLE})`,
    ]);
    world.assertTokenGone();
  });
});

/** `calls`: what ran, without arguments. */
interface Fault {
  readonly name: string;
  readonly system: System;
  readonly effects: Partial<Record<UnixEffect | WindowsEffect, () => StageResult | Promise<StageResult>>>;
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

describe("handoff_wire: what the backend answers", () => {
  const rows: readonly (readonly [string, (token: Buffer) => Parameters<typeof encodeAck>[0], string, boolean])[] = [
    ["good exchange", (token) => ackOf(token), "completed", false],
    ["refused ack", (token) => ackOf(token, { accepted: false, errorDetail: "busy" }), "fallback", false],
    ["wrong token echo", () => ackOf(Buffer.alloc(16)), "fallback", true],
    ["wrong correlation id", (token) => ackOf(token, { correlationId: 8n }), "fallback", true],
  ];
  for (const [name, answer, kind, severed] of rows) {
    test(`${name}: ${kind}, token gone${severed ? ", connection severed" : ""}`, async () => {
      const world = createWorld();
      const frame = decodeFrame(encodeAck(answer(world.token.reveal())).subarray(5));
      const offer = { token: world.token.reveal(), correlationId: 7n };
      const outcome = await world.run("unix", { awaitAck: () => checkAck(frame, offer) });
      assert.equal(outcome.kind, kind);
      if (outcome.kind === "fallback") assert.deepEqual([outcome.stage, outcome.severed], ["await-ack", severed]);
      world.assertTokenGone();
    });
  }
});

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let settle: (() => void) | undefined;
  const promise = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: () => settle?.() };
}

function ackOf(token: Uint8Array, values: Partial<Parameters<typeof encodeAck>[0]> = {}) {
  return { token, accepted: true, errorDetail: "", correlationId: 7n, ...values };
}

interface World {
  readonly calls: string[];
  readonly token: HandoffToken;
  readonly tokens: HandoffTokenStore;
  readonly registry: AckRegistry;
  run(
    system: System,
    faults: Fault["effects"],
    endings?: Partial<Pick<HandoffEffects<never>, "revoke" | "sever">>,
  ): Promise<HandoffOutcome<string>>;
  /** The post-condition of every row: neither store nor registry knows the handoff any more. */
  assertTokenGone(): void;
}

/** A real token store and registry with one handoff under way, and effects that succeed unless told otherwise. */
function createWorld(options: { deadlineMs?: number; acknowledgedAtMs?: number } = {}): World {
  const calls: string[] = [];
  const tokens = createHandoffTokenStore({ randomBytes });
  const registry = createAckRegistry({
    tokens,
    ...(options.deadlineMs !== undefined && { deadlineMs: options.deadlineMs }),
  });
  const issued = tokens.issue(0);
  assert.ok(issued.ok);
  const { token } = issued;
  registry.register(token, { serviceName: "svc", backendPid: 1 }, 0);
  const done = (): StageResult => ({ ok: true });
  const good: Record<UnixEffect | WindowsEffect, () => StageResult | Promise<StageResult>> = {
    send: done,
    duplicate: () => ({ ok: true, handle: HANDLE }),
    deliver: done,
    awaitAck: done,
    acknowledge: () => registry.acknowledge(token, options.acknowledgedAtMs ?? 3),
  };
  return {
    calls,
    token,
    tokens,
    registry,
    run(system, faults, endings = {}) {
      const wrap = (name: UnixEffect | WindowsEffect) => (handle: bigint) => {
        calls.push(`${name}(${handle})`);
        return (faults[name] ?? good[name])();
      };
      const effects = {
        send: wrap("send"),
        duplicate: wrap("duplicate"),
        deliver: wrap("deliver"),
        awaitAck: wrap("awaitAck"),
        acknowledge: wrap("acknowledge"),
        revoke: () => {
          calls.push("revoke");
          registry.abandon(token);
        },
        sever: () => {
          assert.equal(tokens.pending(0), 0, "the token is revoked before the connection is severed");
          calls.push("sever");
        },
        ...endings,
      };
      return system === "unix" ? runHandoff(UNIX_HANDOFF, effects) : runHandoff(WINDOWS_HANDOFF, effects);
    },
    assertTokenGone() {
      assert.equal(tokens.pending(0), 0);
      assert.equal(registry.pending, 0);
    },
  };
}
