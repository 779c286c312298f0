import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HandoffToken } from "../../model/handoff-tokens.ts";
import { CAPABILITY } from "../../wire/capabilities.ts";
import { decodeMessage } from "../../wire/codec.ts";
import { decodeFrame } from "../../wire/envelope.ts";
import { FRAME_HEADER_BYTES } from "../../wire/framing.ts";
import { DEFAULT_KEEPALIVE_SECS } from "../../wire/limits.ts";
import { FrameKind, HelloReplySchema } from "../../wire/messages.ts";
import { createGrantedEncoder, type Granted } from "./granted-reply.ts";

type BackendFacts = Granted["backend"];

const PLAIN = { requestId: 7n, traceparent: "", tracestate: "" };
const TRACED = { requestId: 7n, traceparent: "00-aa-bb-01", tracestate: "k=v" };

const TOKEN_BYTES = 16;
/** Each size a varint has, on both sides of where it grows, and what no number holds exactly. */
const IDS = [1n, 2n, 127n, 128n, 129n, 16_383n, 16_384n, 2n ** 21n, 2n ** 35n - 1n, 2n ** 35n, 2n ** 53n + 1n, 3n];

describe("replies to granted Hellos say what a reply made by itself says, byte for byte", () => {
  for (const [what, capabilities] of [
    ["without a handoff", undefined],
    ["with one", CAPABILITY.handlePassing],
    ["with a direct one", CAPABILITY.handlePassing | CAPABILITY.handoffDirect],
  ] as const)
    test(what, () => {
      const kept = createGrantedEncoder();
      const backends = [backend("1.0.0", "/run/a"), backend("2.0.0-rc.1", `/run/${"b".repeat(90)}`)];
      for (const connectionId of IDS)
        for (const request of [PLAIN, TRACED, { ...PLAIN, requestId: 0n }, PLAIN])
          for (const keepaliveSecs of [0n, 300n])
            for (const each of backends) {
              const handoff = capabilities === undefined ? undefined : { token: token(connectionId), capabilities };
              const granted = { backend: each, keepaliveSecs, connectionId, handoff };
              const bytes = kept(request, granted);
              assert.deepEqual(bytes, createGrantedEncoder()(request, granted));
              assert.deepEqual(kept(request, granted), bytes, "again");
              assertSays(bytes, request, granted);
            }
    });
});

test("a reply that was given away is not written to by the next one", () => {
  const encode = createGrantedEncoder();
  const one = backend("1.0.0", "/run/a");
  const replies = [1n, 2n, 3n].map((connectionId) => {
    const granted = { backend: one, keepaliveSecs: 0n, connectionId, handoff: undefined };
    return { granted, bytes: encode(PLAIN, granted) };
  });
  for (const { granted, bytes } of replies) assertSays(bytes, PLAIN, granted);
});

test("a backend with a handoff and without one in turn gets each as it is", () => {
  const encode = createGrantedEncoder();
  const one = backend("1.0.0", "/run/a");
  for (const connectionId of [1n, 2n, 3n, 4n, 5n]) {
    const handoff =
      connectionId % 2n === 0n ? undefined : { token: token(connectionId), capabilities: CAPABILITY.handlePassing };
    const granted = { backend: one, keepaliveSecs: 0n, connectionId, handoff };
    assertSays(encode(PLAIN, granted), PLAIN, granted);
  }
});

function assertSays(
  bytes: Buffer,
  request: typeof PLAIN,
  { backend: one, keepaliveSecs, connectionId, handoff }: Granted,
) {
  const frame = decodeFrame(bytes.subarray(FRAME_HEADER_BYTES));
  const { kind, requestId, traceparent, tracestate, payload } = frame;
  assert.deepEqual({ kind, requestId, traceparent, tracestate }, { kind: FrameKind.RESPONSE, ...request });
  const { result } = decodeMessage(HelloReplySchema, payload);
  assert.equal(result.case, "negotiated");
  const { value } = result;
  assert.deepEqual(
    [value.connectionId, value.daemonVersion, value.backendPipe, value.serverCapabilities],
    [connectionId, one.key.version, one.identity.endpoint.path, handoff?.capabilities ?? 0n],
  );
  assert.equal(value.keepaliveIntervalSecs, keepaliveSecs === 0n ? DEFAULT_KEEPALIVE_SECS : keepaliveSecs);
  assert.deepEqual(Buffer.from(value.handlePassedToken), handoff?.token.reveal() ?? Buffer.alloc(0));
}

function backend(version: string, path: string): BackendFacts {
  const identity = { endpoint: { path } } as BackendFacts["identity"];
  return { key: { instanceId: "shared", service: "svc", version }, identity };
}

/** All ones first, so that nothing in it could be taken for the end of a varint. */
function token(id: bigint): HandoffToken {
  const bytes = Buffer.alloc(TOKEN_BYTES, 0xff);
  bytes.writeBigUInt64LE(id, 8);
  return HandoffToken.from(bytes) as HandoffToken;
}
