import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, get } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connectRaw, type RawClient, request, textOf } from "../../test/backend/support/raw-client.ts";
import { patient } from "../../test/support/patient.ts";
import { hasCode, isBrokerError } from "../base/errors.ts";
import { probeEndpoint } from "../exchange/probe-endpoint.ts";
import { discoverBackend } from "../exchange/verify-backend.ts";
import { loadPlatform } from "../platform/platform.ts";
import { encodeMessage } from "../wire/codec.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { FrameKind, FrameSchema } from "../wire/messages.ts";
import { readIdentityFile } from "./identity-file.ts";
import { serveBackend } from "./serve-backend.ts";
import type { BackendHandler, RunningBackend, ServeEnvironment, ServeOptions } from "./serve-options.ts";

const platform = await loadPlatform();
const echo: BackendHandler = ({ payload }) => payload;

interface Started {
  readonly backend: RunningBackend;
  readonly path: string;
  readonly errors: unknown[];
  connect(): Promise<RawClient>;
}

async function start<S>(
  t: TestContext,
  options: Omit<ServeOptions<S>, "endpoint"> & Partial<ServeOptions<S>>,
  environment: Partial<ServeEnvironment> = {},
): Promise<Started> {
  const directory = mkdtempSync(join(tmpdir(), "rpv-"));
  const path = join(directory, "s");
  const errors: unknown[] = [];
  const clients: RawClient[] = [];
  const all = { endpoint: path, onError: (error: unknown) => errors.push(error), ...options } as ServeOptions<S>;
  const backend = await serveBackend(all, { platform, launchEnv: {}, ...environment });
  backend.closed.catch(() => {});
  t.after(async () => {
    for (const client of clients) client.socket.destroy();
    await backend.stop();
    rmSync(directory, { recursive: true });
  });
  return {
    backend,
    path,
    errors,
    async connect() {
      const client = await connectRaw(path);
      clients.push(client);
      return client;
    },
  };
}

function deferred<T = void>(): { promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  let settle: { resolve(value: T): void; reject(error: unknown): void } | undefined;
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
  assert.ok(settle);
  return { promise, ...settle };
}

async function rejectsConnection(path: string): Promise<void> {
  await assert.rejects(connectRaw(path));
}

test("a request is answered on its protocol, with its id and its trace strings", async (t) => {
  const seen: unknown[] = [];
  const { connect } = await start(t, {
    protocol: 0xf001,
    handle: ({ payload, protocol, requestId, traceparent, tracestate }) => {
      seen.push({ protocol, requestId, traceparent, tracestate });
      return Buffer.from(`${Buffer.from(payload)}!`);
    },
  });
  const client = await connect();
  client.socket.write(request("hello", 77n));
  const answer = await client.frame();
  assert.equal(textOf(answer), "hello!");
  assert.equal(answer.kind, FrameKind.RESPONSE);
  assert.equal(answer.payloadProtocol, 0xf001);
  assert.equal(answer.requestId, 77n);
  assert.equal(answer.traceparent, "00-a-b-01");
  assert.equal(answer.tracestate, "k=v");
  assert.deepEqual(seen, [{ protocol: 0xf001, requestId: 77n, traceparent: "00-a-b-01", tracestate: "k=v" }]);
});

test("several protocols each have their handler, and numbers that are not for consumers are refused at the start", async (t) => {
  const { connect } = await start(t, {
    protocols: { 61441: () => Buffer.from("one"), 61442: async () => Buffer.from("two") },
  });
  const client = await connect();
  client.socket.write(request("", 2n, 0xf002));
  assert.equal(textOf(await client.frame()), "two");
  client.socket.write(request("", 1n, 0xf001));
  assert.equal(textOf(await client.frame()), "one");
  const wrong = serveBackend({ protocols: { 45618: echo }, endpoint: "/nonexistent/s" }, { platform, launchEnv: {} });
  await assert.rejects(wrong, (error) => hasCode(error, "PAYLOAD_PROTOCOL_INVALID"));
});

test("probes are answered with an identity the kernel confirms, while load is pending; requests wait for it", async (t) => {
  const loading = deferred<string>();
  const handled: string[] = [];
  const { path, connect } = await start<string>(t, {
    protocol: 0xf001,
    load: () => loading.promise,
    handle: (_request, state) => {
      handled.push(state);
      return Buffer.from(state);
    },
  });
  const client = await connect();
  client.socket.write(request("early"));
  const identity = await discoverBackend(platform, path, patient(platform));
  assert.equal(identity.pid, process.pid);
  assert.deepEqual(identity.endpoint, { namespaceId: "direct", path });
  assert.deepEqual(handled, [], "the request is still waiting");
  loading.resolve("loaded");
  assert.equal(textOf(await client.frame()), "loaded");
});

test("a probe is answered on a connection whose requests are still waiting", async (t) => {
  const loading = deferred<string>();
  const { connect } = await start<string>(t, { protocol: 0xf001, load: () => loading.promise, handle: echo });
  const client = await connect();
  const nonce = Buffer.alloc(32, 9);
  client.socket.write(
    Buffer.concat([
      request("early", 1n),
      encodeFrameBytes(
        encodeMessage(FrameSchema, { envelopeVersion: 1, payloadProtocol: 0xb232, payload: nonce, requestId: 5n }),
      ),
    ]),
  );
  const first = await client.frame();
  assert.equal(first.payloadProtocol, 0xb232);
  assert.equal(first.requestId, 5n);
  loading.resolve("");
  assert.equal((await client.frame()).requestId, 1n);
});

test("a load that fails ends the backend: closed rejects with its error, connections end, nothing is left", async (t) => {
  const fault = new Error("cannot load");
  const loading = deferred<string>();
  const { backend, path, connect, errors } = await start<string>(t, {
    protocol: 0xf001,
    load: () => loading.promise,
    handle: echo,
  });
  const client = await connect();
  client.socket.write(request("waiting"));
  loading.reject(fault);
  await client.over;
  await assert.rejects(backend.closed, (error) => error === fault);
  assert.deepEqual(errors, [], "it is the business of closed alone");
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false);
});

test("a large payload comes back whole, in whatever pieces the kernel cuts it", async (t) => {
  const { connect } = await start(t, { protocol: 0xf001, handle: echo });
  const payload = Buffer.alloc(1024 * 1024, "0123456789abcdef");
  const clients = await Promise.all([connect(), connect(), connect()]);
  for (const client of clients) client.socket.write(request(payload));
  for (const client of clients) assert.ok(payload.equals((await client.frame()).payload));
});

test("requests of one connection run concurrently and are answered as they finish", async (t) => {
  const first = deferred();
  const { connect } = await start(t, {
    protocol: 0xf001,
    handle: async ({ payload, requestId }) => {
      if (requestId === 1n) await first.promise;
      if (requestId === 2n) first.resolve();
      return payload;
    },
  });
  const client = await connect();
  client.socket.write(Buffer.concat([request("a", 1n), request("b", 2n)]));
  const order = [await client.frame(), await client.frame()].map((frame) => frame.requestId);
  assert.deepEqual(new Set(order), new Set([1n, 2n]));
});

test("beyond the limit in flight a connection is not read; as answers leave it goes on, and nothing is lost", async (t) => {
  const gate = deferred();
  const atLimit = deferred();
  let running = 0;
  let most = 0;
  const { connect } = await start(t, {
    protocol: 0xf001,
    maxInFlightPerConnection: 8,
    handle: async ({ payload }) => {
      most = Math.max(most, ++running);
      if (running === 8) atLimit.resolve();
      await gate.promise;
      running--;
      return payload;
    },
  });
  const client = await connect();
  const ids = Array.from({ length: 200 }, (_, index) => BigInt(index + 1));
  client.socket.write(Buffer.concat(ids.map((id) => request("x", id))));
  await atLimit.promise;
  const other = await connect();
  other.socket.write(request("other"));
  gate.resolve();
  const answered = new Set<bigint>();
  for (const _ of ids) answered.add((await client.frame()).requestId);
  assert.equal(answered.size, ids.length);
  assert.equal(textOf(await other.frame()), "other");
  assert.ok(most <= 9, `${most} ran at once: at most 8 of one client and 1 of the other`);
});

test("an unread answer counts as in flight, so that a client that only sends cannot fill our memory", async (t) => {
  let handled = 0;
  const { connect, path } = await start(t, {
    protocol: 0xf001,
    maxInFlightPerConnection: 4,
    handle: () => {
      handled++;
      return Buffer.alloc(1024 * 1024);
    },
  });
  const greedy = await connect();
  greedy.socket.pause();
  greedy.socket.write(Buffer.concat(Array.from({ length: 100 }, (_, index) => request("x", BigInt(index)))));
  // Several exchanges of others go by, in which it would have been served if it could.
  for (let round = 0; round < 5; round++) await probeEndpoint(platform, path, patient(platform));
  assert.ok(handled >= 4 && handled <= 6, `${handled} were handled`);
});

test("a handler that throws costs only its own connection", async (t) => {
  const fault = new Error("a bug");
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: ({ payload }) => {
      if (Buffer.from(payload).toString() === "bad") throw fault;
      return payload;
    },
  });
  const [bad, good] = [await connect(), await connect()];
  bad.socket.write(request("bad"));
  await bad.over;
  assert.deepEqual(errors, [fault]);
  good.socket.write(request("good"));
  assert.equal(textOf(await good.frame()), "good");
});

test("a handler that returns no bytes, or too many, is reported", async (t) => {
  const wrong: Record<string, unknown> = { text: "a string", nothing: undefined, huge: Buffer.alloc(16 * 1024 * 1024) };
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: ({ payload }) => wrong[Buffer.from(payload).toString()] as Uint8Array,
  });
  for (const payload of Object.keys(wrong)) {
    const client = await connect();
    client.socket.write(request(payload));
    await client.over;
  }
  assert.ok(errors[0] instanceof TypeError && errors[1] instanceof TypeError);
  assert.ok(hasCode(errors[2], "FRAME_TOO_LARGE"));
});

const faults: Record<string, { bytes: Buffer; check: (error: unknown) => boolean }> = {
  "another protocol than served": {
    bytes: request("x", 1n, 0xf00f),
    check: (error) => checkOf(error) === "unserved-protocol",
  },
  "a Hello": { bytes: request("x", 1n, 0), check: (error) => checkOf(error) === "first-party-protocol" },
  "a malformed probe": { bytes: request("x", 1n, 0xb232), check: (error) => checkOf(error) === "malformed-probe" },
  "an EVENT": { bytes: frameOf({ kind: FrameKind.EVENT }), check: (error) => checkOf(error) === "kind" },
  "a compressed payload": {
    bytes: frameOf({ payloadEncoding: 1 }),
    check: (error) => checkOf(error) === "payload_encoding",
  },
  "bytes of another wire": {
    bytes: Buffer.from("GET / HTTP/1.1\r\n"),
    check: (error) => hasCode(error, "FRAMING_VERSION_UNSUPPORTED"),
  },
  "too long a frame": { bytes: Buffer.from([1, 0, 0, 0, 2]), check: (error) => hasCode(error, "FRAME_TOO_LARGE") },
  "no protobuf": {
    bytes: encodeFrameBytes(Buffer.from([0xff])),
    check: (error) => hasCode(error, "MESSAGE_MALFORMED"),
  },
};

function frameOf(odd: object): Buffer {
  return encodeFrameBytes(encodeMessage(FrameSchema, { envelopeVersion: 1, payloadProtocol: 0xf001, ...odd }));
}

function checkOf(error: unknown): string | undefined {
  return isBrokerError(error) ? error.details.check : undefined;
}

for (const [name, { bytes, check }] of Object.entries(faults)) {
  test(`${name} ends the connection without an answer and is reported; others go on`, async (t) => {
    const { connect, errors } = await start(t, { protocol: 0xf001, handle: echo });
    const client = await connect();
    client.socket.write(bytes);
    await assert.rejects(client.frame());
    assert.equal(errors.length, 1);
    assert.ok(check(errors[0]), String(errors[0]));
    const other = await connect();
    other.socket.write(request("fine"));
    assert.equal(textOf(await other.frame()), "fine");
  });
}

test("half a frame and then the end is reported as truncated; an end between messages is a clean close", async (t) => {
  const { connect, errors } = await start(t, { protocol: 0xf001, handle: echo });
  const clean = await connect();
  clean.socket.write(request("x"));
  await clean.frame();
  clean.socket.end();
  await clean.over;
  assert.deepEqual(errors, []);
  const torn = await connect();
  torn.socket.end(request("x").subarray(0, 9));
  await torn.over;
  assert.ok(hasCode(errors[0], "FRAME_TRUNCATED"));
});

test("a client that ends its side still gets the answers it asked for, and handlers are told", async (t) => {
  const reasons: unknown[] = [];
  const running = deferred();
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: async ({ payload, signal }) => {
      running.resolve();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      reasons.push(signal.reason);
      return payload;
    },
  });
  const client = await connect();
  client.socket.write(request("late"));
  await running.promise;
  client.socket.end();
  assert.equal(textOf(await client.frame()), "late");
  await client.over;
  assert.ok(hasCode(reasons[0], "CONNECTION_CLOSED"));
  assert.deepEqual(errors, []);
});

test("a handler that gives up because its client is gone is no fault", async (t) => {
  const running = deferred();
  const ended = deferred();
  const { connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: async ({ signal }) => {
      running.resolve();
      await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
      ).finally(() => ended.resolve());
      return Buffer.alloc(0);
    },
  });
  const client = await connect();
  client.socket.write(request("x"));
  await running.promise;
  client.socket.destroy();
  await ended.promise;
  const other = await connect();
  other.socket.end();
  await other.over;
  assert.deepEqual(errors, []);
});

test("stop refuses new clients at once, lets requests in flight finish, and cleans up", async (t) => {
  const gate = deferred();
  const running = deferred();
  const stopped: string[] = [];
  const { backend, path, connect } = await start(t, {
    protocol: 0xf001,
    onStop: () => void stopped.push(`${existsSync(path)}`),
    handle: async ({ payload }) => {
      running.resolve();
      await gate.promise;
      return payload;
    },
  });
  const [busy, idle] = [await connect(), await connect()];
  busy.socket.write(request("last words"));
  await running.promise;
  const stopping = backend.stop();
  await idle.over;
  await rejectsConnection(path);
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.lock`), false, "a successor can start while we drain");
  assert.deepEqual(stopped, [], "onStop waits for the last connection");
  gate.resolve();
  assert.equal(textOf(await busy.frame()), "last words");
  await busy.over;
  await stopping;
  assert.deepEqual(stopped, ["false"]);
  assert.equal(await backend.closed, "requested");
  assert.equal(backend.connections, 0);
  await backend.stop();
});

test("when the time for stopping is up, what still runs is cut off and told so", async (t) => {
  const reasons: unknown[] = [];
  const running = deferred();
  const { backend, connect } = await start(t, {
    protocol: 0xf001,
    stopTimeoutMs: 1,
    handle: ({ signal }) => {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      running.resolve();
      return new Promise<Uint8Array>(() => {});
    },
  });
  const client = await connect();
  client.socket.write(request("never"));
  await running.promise;
  await backend.stop();
  await client.over;
  assert.ok(hasCode(reasons[0], "CONNECTION_CLOSED"));
});

test("an onStop that hangs or throws does not keep the backend from ending", async (t) => {
  const hanging = await start(t, {
    protocol: 0xf001,
    handle: echo,
    stopTimeoutMs: 1,
    onStop: () => new Promise<void>(() => {}),
  });
  await hanging.backend.stop();
  const fault = new Error("cannot save");
  const throwing = await start(t, {
    protocol: 0xf001,
    handle: echo,
    onStop: () => {
      throw fault;
    },
  });
  await throwing.backend.stop();
  assert.deepEqual(throwing.errors, [fault]);
});

test("a stop while loading tells load, and does not wait for it when nobody does", async (t) => {
  const told = deferred();
  const { backend } = await start<string>(t, {
    protocol: 0xf001,
    handle: echo,
    load: ({ signal }) => {
      signal.addEventListener("abort", () => told.resolve());
      return new Promise<string>(() => {});
    },
  });
  await backend.stop();
  await told.promise;
  assert.equal(await backend.closed, "requested");
});

test("the sidecar appears with the identity and is gone after the stop", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "rpw-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const sidecarPath = join(directory, "daemon-identity.json");
  const { backend } = await start(t, { protocol: 0xf001, handle: echo, sidecarPath });
  const identity = await backend.identity;
  const written = readIdentityFile(platform.files, sidecarPath);
  assert.equal(written?.pid, identity.pid);
  assert.deepEqual(written?.endpoint, identity.endpoint);
  await backend.stop();
  assert.equal(existsSync(sidecarPath), false);
});

test("a sidecar that cannot be written is reported and spoils nothing else", async (t) => {
  const { backend, connect, errors } = await start(t, {
    protocol: 0xf001,
    handle: echo,
    sidecarPath: "/nonexistent/x.json",
  });
  await backend.identity;
  const client = await connect();
  client.socket.write(request("fine"));
  assert.equal(textOf(await client.frame()), "fine");
  assert.ok(hasCode(errors[0], "IO_FAILED"));
});

test("bytes of the legacy wire hand the connection over with what was read; probes and frames keep working beside it", async (t) => {
  const http = createHttpServer((_request, response) => response.end("from http"));
  const { path, connect } = await start<string>(t, {
    protocol: 0xf001,
    handle: echo,
    load: () => "state",
    legacy: {
      onSocket(socket: Socket, head, { state, signal }) {
        assert.equal(state, "state");
        signal.addEventListener("abort", () => socket.destroy());
        socket.unshift(head);
        http.emit("connection", socket);
        socket.resume();
      },
    },
  });
  const body = await new Promise<string>((resolve, reject) => {
    get({ socketPath: path, path: "/", agent: false }, (response) => {
      response.setEncoding("utf8").once("data", resolve);
    }).once("error", reject);
  });
  assert.equal(body, "from http");
  assert.equal((await probeEndpoint(platform, path, patient(platform))).identity.pid, process.pid);
  const client = await connect();
  client.socket.write(request("framed"));
  assert.equal(textOf(await client.frame()), "framed");
});

test("frames before the legacy bytes are answered first; a detector decides what begins with 0x01", async (t) => {
  const heads: string[] = [];
  const handed = deferred();
  const { connect, backend } = await start(t, {
    protocol: 0xf001,
    handle: echo,
    legacy: {
      detect: (bytes) => (bytes.length < 2 ? "need-more" : bytes[1] === 0x4c ? "legacy" : "not-legacy"),
      onSocket(socket, head, { signal }) {
        heads.push(head.toString("latin1"));
        signal.addEventListener("abort", () => socket.end("bye"));
        handed.resolve();
      },
    },
  });
  const client = await connect();
  client.socket.write(Buffer.concat([request("first"), Buffer.from([0x01])]));
  assert.equal(textOf(await client.frame()), "first");
  assert.deepEqual(heads, [], "one byte does not suffice to tell");
  client.socket.removeAllListeners("data");
  const bye = new Promise<string>((resolve) =>
    client.socket.once("data", (chunk: Buffer) => resolve(chunk.toString())),
  );
  client.socket.write(Buffer.from([0x4c, 0x21]));
  await handed.promise;
  assert.deepEqual(heads, ["\x01L!"]);
  const stopping = backend.stop();
  assert.equal(await bye, "bye", "its signal told the legacy wire to end");
  client.socket.end();
  await stopping;
});

test("legacy bytes behind a request wait until it is answered, so that the wires do not mix", async (t) => {
  const gate = deferred();
  const running = deferred();
  const log: string[] = [];
  const handed = deferred();
  const { connect, path } = await start(t, {
    protocol: 0xf001,
    handle: async ({ payload }) => {
      running.resolve();
      await gate.promise;
      log.push("answered");
      return payload;
    },
    legacy: {
      onSocket(socket, head, { signal }) {
        log.push(`handed over ${head}`);
        signal.addEventListener("abort", () => socket.destroy());
        handed.resolve();
      },
    },
  });
  const client = await connect();
  client.socket.write(Buffer.concat([request("slow"), Buffer.from("GET /")]));
  await running.promise;
  await probeEndpoint(platform, path, patient(platform));
  assert.deepEqual(log, []);
  gate.resolve();
  assert.equal(textOf(await client.frame()), "slow");
  await handed.promise;
  assert.deepEqual(log, ["answered", "handed over GET /"]);
});

test("a legacy wire that throws costs only that connection", async (t) => {
  const fault = new Error("a bug");
  const { connect, errors } = await start(t, {
    legacy: {
      onSocket() {
        throw fault;
      },
    },
  });
  const client = await connect();
  client.socket.write("GET /");
  await client.over;
  assert.deepEqual(errors, [fault]);
});

test("handleSignals: false leaves the signals alone", async (t) => {
  const onTerminationSignal = (): never => assert.fail("it listened");
  await start(t, { protocol: 0xf001, handle: echo, handleSignals: false }, { onTerminationSignal });
});
