import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { completeMessage } from "../../test/support/complete-message.ts";
import { hasCode } from "../base/errors.ts";
import { decodeFrame } from "./envelope.ts";
import { type Frame, FrameKind, FrameSchema, PayloadEncoding } from "./messages.ts";
import { PAYLOAD_PROTOCOL } from "./payload-protocol.ts";
import { answerProbe, decodeProbeResponse, encodeProbeRequest } from "./probe.ts";

const NONCE = Buffer.from(Array.from({ length: 32 }, (_, i) => 0xff - i));
const IDENTITY = { pid: 42, exePath: "/opt/d", ipcEndpoint: { namespaceId: "shared", path: "/run/d.sock" } };

describe("a probe request", () => {
  test("carries the nonce and its first eight bytes as little-endian id", () => {
    const request = requestFrame({});
    assert.deepEqual(Buffer.from(request.payload), NONCE);
    assert.equal(request.requestId, 0xf8f9fafbfcfdfeffn);
    assert.equal(request.payloadProtocol, PAYLOAD_PROTOCOL.probe);
  });

  test("cannot be built from a nonce of another length, which is a mistake of ours", () => {
    assert.throws(
      () => encodeProbeRequest(Buffer.alloc(31)),
      (error) => !hasCode(error, "MESSAGE_MALFORMED"),
    );
  });

  for (const [check, wrong] of [
    ["envelope_version", { envelopeVersion: 2 }],
    ["kind", { kind: FrameKind.RESPONSE }],
    ["payload_protocol", { payloadProtocol: 0 }],
    ["payload_encoding", { payloadEncoding: PayloadEncoding.LZ4 }],
  ] as const) {
    test(`is not answered with a wrong ${check}, whatever its payload`, () => {
      const request = requestFrame({ ...wrong, payload: new Uint8Array(3) });
      assert.throws(() => answerProbe(request, IDENTITY), unexpected(check));
    });
  }

  for (const length of [0, 31, 33]) {
    test(`is not answered with ${length} bytes of nonce`, () => {
      assert.throws(() => answerProbe(requestFrame({ payload: new Uint8Array(length) }), IDENTITY), malformed);
    });
  }

  test("is answered with its own id and trace strings", () => {
    const request = requestFrame({ traceparent: "tp", tracestate: "ts" });
    const reply = decodeFrame(answerProbe(request, IDENTITY).subarray(5));
    assert.deepEqual([reply.requestId, reply.traceparent, reply.tracestate], [request.requestId, "tp", "ts"]);
  });
});

describe("a probe reply", () => {
  test("gives back the identity that was answered", () => {
    const identity = decodeProbeResponse(replyFrame({}), NONCE);
    assert.equal(identity.pid, 42);
    assert.equal(identity.ipcEndpoint?.path, "/run/d.sock");
  });

  // In the order of the checks (spec identity §3, steps 10 to 13).
  const steps: readonly (readonly [string, Partial<Frame>, (error: unknown) => boolean])[] = [
    ["envelope version", { envelopeVersion: 0 }, unexpected("envelope_version")],
    ["kind", { kind: FrameKind.REQUEST }, unexpected("kind")],
    ["protocol", { payloadProtocol: PAYLOAD_PROTOCOL.handoff }, unexpected("payload_protocol")],
    ["request id", { requestId: 1n }, unexpected("request_id")],
    ["encoding", { payloadEncoding: PayloadEncoding.SNAPPY }, unexpected("payload_encoding")],
    ["length", { payload: NONCE.subarray(0, 31) }, malformed],
  ];
  for (const [index, [name, wrong, matches]] of steps.entries()) {
    test(`with a wrong ${name} is refused for that before everything behind it`, () => {
      assert.throws(() => decodeProbeResponse(replyFrame(wrong), NONCE), matches);
      const allBehind: Partial<Frame> = Object.assign({}, ...steps.slice(index).map(([, values]) => values));
      assert.throws(() => decodeProbeResponse(replyFrame(allBehind), NONCE), matches);
    });
  }

  test("with another nonce is refused before its identity is looked at", () => {
    const payload = Buffer.concat([Buffer.alloc(32, 9), Buffer.from("ffff", "hex")]);
    assert.throws(() => decodeProbeResponse(replyFrame({ payload }), NONCE), unexpected("nonce"));
  });

  test("whose rest is no DaemonProcess is malformed", () => {
    const payload = Buffer.concat([NONCE, Buffer.from("ffff", "hex")]);
    assert.throws(
      () => decodeProbeResponse(replyFrame({ payload }), NONCE),
      (error) => hasCode(error, "MESSAGE_MALFORMED") && error.message.includes("DaemonProcess"),
    );
  });
});

function requestFrame(values: Partial<Frame>): Frame {
  return completeMessage(FrameSchema, { ...decodeFrame(encodeProbeRequest(NONCE).subarray(5)), ...values });
}

function replyFrame(values: Partial<Frame>): Frame {
  return completeMessage(FrameSchema, {
    ...decodeFrame(answerProbe(requestFrame({}), IDENTITY).subarray(5)),
    ...values,
  });
}

function unexpected(check: string): (error: unknown) => boolean {
  return (error) => hasCode(error, "FRAME_UNEXPECTED") && error.details.check === check;
}

function malformed(error: unknown): boolean {
  return hasCode(error, "MESSAGE_MALFORMED");
}
