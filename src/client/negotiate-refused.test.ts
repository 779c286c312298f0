/** Each refusal of a broker's, and replies that are none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../../test/client/support/failure-of.ts";
import { negotiated, reply, stage } from "../../test/client/support/negotiating.ts";
import { connectReal, sealedEnv } from "../../test/support/peers/connect-real.ts";
import { encodeRefused, listen, temporaryDirectory } from "../../test/support/peers/scripted-server.ts";
import { type BrokerErrorCode, ERROR_TABLE, type ErrorRow } from "../base/errors.ts";
import { encodeResponse } from "../wire/envelope.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { type ErrorCode, FrameKind, PayloadEncoding } from "../wire/messages.ts";

const REFUSALS = (Object.entries(ERROR_TABLE) as [BrokerErrorCode, ErrorRow][]).filter(
  ([, row]) => row.wire !== undefined,
);

for (const [code, { wire = -1 }] of REFUSALS) {
  test(`refusal ${wire} is ${code}, with its reason, hint and log`, async (t) => {
    const { connect, broker, backend } = await stage(t, (hello) => {
      const details = {
        log_tail: "boom",
        log_path: "/l",
        exit: "status 3",
        check: "exe_hash",
        path: "/p",
        unknown: "x",
      };
      const payload = encodeRefused({ code: wire, reason: "because", retryAfterMs: 123_456n, details });
      return encodeResponse(hello, { payloadProtocol: 0, payload });
    });
    // SHUTTING_DOWN is tried again by back-off; a short limit shows that it is this error that comes out.
    const error = await failureOf(connect({ timeoutMs: code === "SHUTTING_DOWN" ? 60 : 10_000 }));
    assert.equal(error.code, code);
    assert.equal(error.reason, "because");
    assert.deepEqual(error.details, {
      ...{ retryAfterMs: 123_456, logTail: "boom", logPath: "/l" },
      ...{ exit: "status 3", check: "exe_hash", path: "/p" },
    });
    if (code !== "SHUTTING_DOWN") assert.equal(broker.count, 1);
    assert.equal(backend.count, 0);
  });
}

test("a launch that can never succeed comes without a time to try again, whatever the frozen hint says", async (t) => {
  const { connect } = await stage(t, (hello) => {
    const refused = {
      code: 3,
      reason: "too long",
      retryAfterMs: 1000n,
      details: { error: "PATH_TOO_LONG" },
    };
    return encodeResponse(hello, { payloadProtocol: 0, payload: encodeRefused(refused) });
  });
  const error = await failureOf(connect());
  assert.equal(error.code, "BACKEND_SPAWN_FAILED");
  assert.deepEqual(error.details, {});
});

test("a refusal code that is not known is REFUSED_UNSPECIFIED", async (t) => {
  const { connect } = await stage(t, (hello) =>
    encodeResponse(hello, { payloadProtocol: 0, payload: encodeRefused({ code: 4711 as ErrorCode }) }),
  );
  const error = await failureOf(connect());
  assert.equal(error.code, "REFUSED_UNSPECIFIED");
  assert.match(error.reason, /4711/);
  assert.deepEqual(error.details, {});
});

test("a refusal with request id 0, from a broker that did not read the Hello, counts", async (t) => {
  const { connect } = await stage(t, () =>
    reply({ requestId: 0n, payload: encodeRefused({ code: 6, reason: "incomplete Hello frame" }) }),
  );
  assert.equal((await failureOf(connect())).code, "PEER_REJECTED");
});

test("a refusal from a broker that closes without reading is still read", async (t) => {
  const directory = temporaryDirectory(t);
  const broker = await listen(t, `${directory}/br`, (socket) => {
    const refused = encodeRefused({ code: 9, reason: "no descriptors", retryAfterMs: 60_000n });
    // Closed with the Hello unread or not yet sent: the client's write may fail with EPIPE.
    socket.write(reply({ requestId: 0n, payload: refused }), () => socket.destroy());
  });
  const options = { env: sealedEnv(directory), broker: { endpoint: broker.path, autoStart: false }, timeoutMs: 5_000 };
  assert.equal((await failureOf(connectReal(t, options))).code, "FD_PRESSURE");
});

interface MalformedCase {
  readonly name: string;
  readonly bytes: (backendPath: string) => Buffer;
  readonly code: BrokerErrorCode;
  readonly check?: string;
}

const MALFORMED: readonly MalformedCase[] = [
  {
    name: "a bad framing byte",
    bytes: () => Buffer.from("HTTP/1.1 400 Bad Request\r\n"),
    code: "FRAMING_VERSION_UNSUPPORTED",
  },
  { name: "a length above 16 MiB", bytes: () => Buffer.from("0101000001", "hex"), code: "FRAME_TOO_LARGE" },
  {
    name: "a body that is no Frame",
    bytes: () => encodeFrameBytes(Buffer.from("ffff", "hex")),
    code: "MESSAGE_MALFORMED",
  },
  {
    name: "an empty body",
    bytes: () => encodeFrameBytes(Buffer.alloc(0)),
    code: "FRAME_UNEXPECTED",
    check: "envelope_version",
  },
  {
    name: "another envelope version, whatever else is wrong",
    bytes: () => reply({ envelopeVersion: 2, kind: FrameKind.EVENT, payloadProtocol: 9, requestId: 7n }),
    code: "FRAME_UNEXPECTED",
    check: "envelope_version",
  },
  {
    name: "another kind, before the protocol is looked at",
    bytes: () => reply({ kind: FrameKind.REQUEST, payloadProtocol: 9 }),
    code: "FRAME_UNEXPECTED",
    check: "kind",
  },
  {
    name: "another protocol, before the encoding is looked at",
    bytes: () => reply({ payloadProtocol: 0xad01, payloadEncoding: PayloadEncoding.LZ4 }),
    code: "FRAME_UNEXPECTED",
    check: "payload_protocol",
  },
  {
    name: "a compressed payload",
    bytes: () => reply({ payloadEncoding: PayloadEncoding.ZSTD, requestId: 7n }),
    code: "FRAME_UNEXPECTED",
    check: "payload_encoding",
  },
  {
    name: "another request id, before the payload is decoded",
    bytes: () => reply({ requestId: 7n, payload: Buffer.from("ff", "hex") }),
    code: "FRAME_UNEXPECTED",
    check: "request_id",
  },
  {
    name: "request id 0 with anything but a refusal",
    bytes: (path) => reply({ requestId: 0n, payload: negotiated(path) }),
    code: "FRAME_UNEXPECTED",
    check: "request_id",
  },
  {
    name: "a payload that is no HelloReply",
    bytes: () => reply({ payload: Buffer.from("0aff", "hex") }),
    code: "MESSAGE_MALFORMED",
  },
  { name: "a HelloReply without a result", bytes: () => reply({}), code: "MESSAGE_MALFORMED", check: "result" },
  {
    name: "an empty backend endpoint",
    bytes: () => reply({ payload: negotiated("") }),
    code: "ENDPOINT_INVALID",
    check: "backend_pipe",
  },
  {
    name: "a relative backend endpoint",
    bytes: () => reply({ payload: negotiated("be.sock") }),
    code: "ENDPOINT_INVALID",
  },
];

for (const { name, bytes, code, check } of MALFORMED) {
  test(`a reply with ${name}: ${code}, without another try`, async (t) => {
    const { connect, broker, backend } = await stage(t, (_, path) => bytes(path));
    const error = await failureOf(connect());
    assert.equal(error.code, code, error.message);
    if (check !== undefined) assert.equal(error.details.check, check);
    assert.equal(broker.count, 1);
    assert.equal(backend.count, 0);
  });
}
