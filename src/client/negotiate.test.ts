/** A Hello and its answer, and which failures are tried again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../../test/client/support/failure-of.ts";
import { negotiated, reply, stage } from "../../test/client/support/negotiating.ts";
import { connectReal, sealedEnv } from "../../test/support/peers/connect-real.ts";
import {
  answerHello,
  encodeNegotiated,
  encodeRefused,
  listen,
  onFirstFrame,
  temporaryDirectory,
} from "../../test/support/peers/scripted-server.ts";
import { decodeMessage } from "../wire/codec.ts";
import { encodeResponse } from "../wire/envelope.ts";
import { type Frame, FrameKind, HelloSchema, PayloadEncoding } from "../wire/messages.ts";
import { LIBRARY_NAME, LIBRARY_VERSION } from "./library.ts";

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
