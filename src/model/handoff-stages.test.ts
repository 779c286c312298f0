import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createWorld, HANDLE, type System, TABLES } from "../../test/model/support/handoff-world.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { checkAck, encodeAck } from "../wire/handoff.ts";
import { FALLBACK_REASONS, type FallbackReason } from "./handoff-policy.ts";
import {
  type HandoffStageRow,
  UNIX_HANDOFF,
  UNIX_TRANSPORT_ERRORS,
  type UnixTransportError,
  unixTransportError,
  WINDOWS_HANDOFF,
  WINDOWS_TRANSPORT_ERRORS,
  type WindowsTransportError,
  windowsTransportError,
} from "./handoff-stages.ts";

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

function ackOf(token: Uint8Array, values: Partial<Parameters<typeof encodeAck>[0]> = {}) {
  return { token, accepted: true, errorDetail: "", correlationId: 7n, ...values };
}
