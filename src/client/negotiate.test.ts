import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connectReal, sealedEnv, type TestOptions } from "../../test/client/support/connect-real.ts";
import {
  answerHello,
  encodeNegotiated,
  encodeRefused,
  listen,
  onFirstFrame,
  type ScriptedServer,
  temporaryDirectory,
} from "../../test/client/support/scripted-server.ts";
import { type BrokerError, type BrokerErrorCode, ERROR_TABLE, type ErrorRow, isBrokerError } from "../base/errors.ts";
import { decodeMessage, encodeMessage } from "../wire/codec.ts";
import { encodeResponse } from "../wire/envelope.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { type ErrorCode, type Frame, FrameKind, FrameSchema, HelloSchema, PayloadEncoding } from "../wire/messages.ts";
import type { BrokerConnected } from "./connect-with.ts";
import { LIBRARY_NAME, LIBRARY_VERSION } from "./library.ts";

type Script = (hello: Frame, backendPath: string) => Buffer | undefined;

interface Stage {
  readonly broker: ScriptedServer;
  readonly backend: ScriptedServer;
  readonly directory: string;
  connect(options?: Partial<TestOptions>): Promise<BrokerConnected>;
}

/** A broker that answers each Hello by `script` (undefined: it closes without a word), and a backend that says "hi". */
async function stage(t: TestContext, script: Script): Promise<Stage> {
  const directory = temporaryDirectory(t);
  const backend = await listen(t, `${directory}/be`, (socket) => socket.write("hi"));
  const broker = await listen(t, `${directory}/br`, (socket) => {
    onFirstFrame(socket, (hello) => {
      const bytes = script(hello, backend.path);
      if (bytes === undefined) socket.end();
      else socket.end(bytes);
    });
  });
  const env = sealedEnv(directory);
  const connect = (options: Partial<TestOptions> = {}): Promise<BrokerConnected> =>
    connectReal(t, { env, ...options, broker: { endpoint: broker.path, autoStart: false } });
  return { broker, backend, directory, connect };
}

function reply(fields: Partial<Frame>): Buffer {
  return encodeFrameBytes(
    encodeMessage(FrameSchema, { envelopeVersion: 1, kind: FrameKind.RESPONSE, requestId: 1n, ...fields }),
  );
}

const negotiated = (backendPipe: string): Uint8Array => encodeNegotiated({ backendPipe });

async function failureOf(work: Promise<unknown>): Promise<BrokerError> {
  try {
    await work;
  } catch (error) {
    assert.ok(isBrokerError(error), String(error));
    return error;
  }
  assert.fail("the promise was expected to reject");
}

test("a negotiated Hello ends in a connected socket to the backend, with every fact of the reply", async (t) => {
  const { connect, backend } = await stage(t, (hello, backendPipe) =>
    encodeResponse(hello, {
      payloadProtocol: 0,
      payload: encodeNegotiated({
        backendPipe,
        daemonVersion: "1.2.3",
        warnings: ["careful"],
        serverCapabilities: 5n,
        keepaliveIntervalSecs: 1800n,
        connectionId: 42n,
      }),
    }),
  );
  const connected = await connect();
  assert.equal(connected.route, "negotiated");
  assert.equal(connected.endpoint, backend.path);
  assert.ok(connected.route === "negotiated");
  assert.deepEqual(connected.negotiated, {
    protocol: 1,
    daemonVersion: "1.2.3",
    warnings: ["careful"],
    serverCapabilities: 5n,
    keepaliveSecs: 1800,
    connectionId: 42n,
  });
  assert.equal(connected.attempts, 1);
  assert.equal(connected.startedBroker, false);
  assert.equal(connected.cachedError, undefined);
  for (const ms of [
    connected.timings.totalMs,
    connected.timings.brokerMs,
    connected.timings.helloMs,
    connected.timings.dialMs,
  ]) {
    assert.ok(ms !== undefined && ms >= 0);
  }
  const [chunk] = await connected.socket.take(1).toArray();
  assert.equal(String(chunk), "hi");
});

test("the Hello says what the spec says, and what the caller said", async (t) => {
  const hellos: Frame[] = [];
  const { connect } = await stage(t, (hello, backendPipe) => {
    hellos.push(hello);
    return encodeResponse(hello, { payloadProtocol: 0, payload: negotiated(backendPipe) });
  });
  await connect();
  await connect({
    clientVersion: "9",
    libName: "tool",
    libVersion: "3.1",
    keepaliveSecs: 60,
    traceparent: "tp",
    tracestate: "ts",
  });
  const [plain, full] = hellos.map((frame) => decodeMessage(HelloSchema, frame.payload));
  assert.ok(plain !== undefined && full !== undefined);
  for (const frame of hellos) {
    assert.deepEqual(
      [
        frame.envelopeVersion,
        frame.kind,
        frame.payloadProtocol,
        frame.payloadEncoding,
        frame.requestId,
        frame.deadlineUnixMs,
      ],
      [1, FrameKind.REQUEST, 0, PayloadEncoding.NONE, 1n, 0n],
    );
  }
  assert.deepEqual([hellos[0]?.traceparent, hellos[1]?.traceparent, hellos[1]?.tracestate], ["", "tp", "ts"]);
  const fields = { ...plain };
  assert.deepEqual(fields, {
    clientMinProtocol: 1,
    clientMaxProtocol: 1,
    serviceName: "demo",
    wantedVersion: "1.2.3",
    clientVersion: "",
    clientCapabilities: 0n,
    authToken: new Uint8Array(),
    requestId: "hello",
    connectionId: 0n,
    peerPid: process.pid,
    clientLibName: LIBRARY_NAME,
    clientLibVersion: LIBRARY_VERSION,
    peerAttestationNonce: new Uint8Array(),
    capabilityToken: new Uint8Array(),
    clientKeepaliveSecs: 0n,
  });
  assert.deepEqual(
    [full.clientVersion, full.clientLibName, full.clientLibVersion, full.clientKeepaliveSecs],
    ["9", "tool", "3.1", 60n],
  );
});

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

test("a refusal code nobody knows is REFUSED_UNSPECIFIED", async (t) => {
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

test("a broker that closes, resets or breaks off before its reply is asked again, a few times", async (t) => {
  const cut = reply({ payload: negotiated("/x") });
  for (const bytes of [undefined, cut.subarray(0, 3), cut.subarray(0, cut.length - 1)]) {
    const { connect, broker } = await stage(t, () => bytes);
    const error = await failureOf(connect());
    assert.equal(error.code, "CONNECTION_CLOSED");
    assert.equal(broker.count, 6);
  }
});

test("a broker that died under one Hello and answers the next one: connected", async (t) => {
  let hellos = 0;
  const { connect } = await stage(t, (hello, backendPipe) => {
    hellos += 1;
    return hellos < 3 ? undefined : encodeResponse(hello, { payloadProtocol: 0, payload: negotiated(backendPipe) });
  });
  const connected = await connect();
  assert.ok(connected.route === "negotiated" && connected.attempts === 3);
});

test("SHUTTING_DOWN, RATE_LIMITED and FD_PRESSURE are waited out when the time allows", async (t) => {
  const codes = [5, 4, 9];
  let hellos = 0;
  const { connect } = await stage(t, (hello, backendPipe) => {
    const code = codes[hellos++];
    const payload =
      code === undefined ? negotiated(backendPipe) : encodeRefused({ code, reason: "wait", retryAfterMs: 1n });
    return encodeResponse(hello, { payloadProtocol: 0, payload });
  });
  const connected = await connect();
  assert.ok(connected.route === "negotiated" && connected.attempts === 4);
});

test("RATE_LIMITED with a hint beyond the deadline is thrown at once, without waiting for the deadline", async (t) => {
  const { connect, broker } = await stage(t, (hello) =>
    encodeResponse(hello, {
      payloadProtocol: 0,
      payload: encodeRefused({ code: 4, reason: "budget", retryAfterMs: 30_000n }),
    }),
  );
  const error = await failureOf(connect({ timeoutMs: 20_000 }));
  assert.equal(error.code, "RATE_LIMITED");
  assert.equal(error.details.retryAfterMs, 30_000);
  assert.equal(broker.count, 1);
});

test("a backend that is gone by the time of the dial is asked for again, until there is one", async (t) => {
  let hellos = 0;
  const { connect, broker } = await stage(t, (hello, backendPipe) => {
    hellos += 1;
    return encodeResponse(hello, {
      payloadProtocol: 0,
      payload: negotiated(hellos < 3 ? `${backendPipe}-gone` : backendPipe),
    });
  });
  const connected = await connect();
  assert.ok(connected.route === "negotiated" && connected.attempts === 3);
  assert.equal(broker.count, 3);
});

test("a backend that never listens is BACKEND_UNREACHABLE, with the path", async (t) => {
  const { connect, directory, broker } = await stage(t, (hello, backendPipe) =>
    encodeResponse(hello, { payloadProtocol: 0, payload: negotiated(`${backendPipe}-gone`) }),
  );
  const error = await failureOf(connect({ timeoutMs: 300 }));
  assert.equal(error.code, "BACKEND_UNREACHABLE");
  assert.equal(error.details.path, `${directory}/be-gone`);
  assert.ok(broker.count > 1);
});

test("a silent broker: DEADLINE_EXCEEDED says what was waited for, and the connection is closed", async (t) => {
  const directory = temporaryDirectory(t);
  let onEnd: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    onEnd = resolve;
  });
  await listen(t, `${directory}/br`, (socket) => socket.resume().on("end", onEnd));
  const env = sealedEnv(directory);
  const error = await failureOf(
    connectReal(t, { env, broker: { endpoint: `${directory}/br`, autoStart: false }, timeoutMs: 30 }),
  );
  assert.equal(error.code, "DEADLINE_EXCEEDED");
  assert.match(error.message, /30 ms were up while waiting for the broker to answer the Hello/);
  await closed;
});

test("an abort ends the wait for the reply: ABORTED with its reason, and the connection is closed", async (t) => {
  const directory = temporaryDirectory(t);
  const abort = new AbortController();
  let onEnd: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    onEnd = resolve;
  });
  await listen(t, `${directory}/br`, (socket) => {
    socket.on("end", onEnd);
    onFirstFrame(socket, () => abort.abort("enough"));
  });
  const options = {
    env: sealedEnv(directory),
    broker: { endpoint: `${directory}/br`, autoStart: false },
    signal: abort.signal,
  };
  const error = await failureOf(connectReal(t, options));
  assert.equal(error.code, "ABORTED");
  assert.equal(error.cause, "enough");
  assert.match(error.message, /while waiting for the broker to answer the Hello/);
  await closed;
});

test("nobody at the socket and no start allowed: BROKER_UNAVAILABLE, by option and by environment", async (t) => {
  const directory = temporaryDirectory(t);
  const env = sealedEnv(directory);
  const off = await failureOf(connectReal(t, { env, broker: { endpoint: `${directory}/br`, autoStart: false } }));
  assert.equal(off.code, "BROKER_UNAVAILABLE");
  assert.equal(off.details.path, `${directory}/br`);
  const byEnv = { ...env, RUNNING_PROCESS_BROKER_AUTOSTART: "0", RUNNING_PROCESS_BROKER_V1_SOCKET: `${directory}/br` };
  assert.equal((await failureOf(connectReal(t, { env: byEnv }))).code, "BROKER_UNAVAILABLE");
});

test("RUNNING_PROCESS_BROKER_V1_SOCKET names the broker; no definition is looked at", async (t) => {
  const directory = temporaryDirectory(t);
  const backend = await listen(t, `${directory}/be`, () => {});
  await listen(t, `${directory}/br`, (socket) => answerHello(socket, () => negotiated(backend.path)));
  const env = sealedEnv(directory, { RUNNING_PROCESS_BROKER_V1_SOCKET: `${directory}/br` });
  assert.equal((await connectReal(t, { env })).route, "negotiated");
});
