/** Requests, probes and loading, and what many requests at once may cost. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { deferred, echo, platform, start } from "../../test/backend/support/serving.ts";
import { patient } from "../../test/support/patient.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";
import { hasCode } from "../base/errors.ts";
import { probeEndpoint } from "../exchange/probe-endpoint.ts";
import { discoverBackend } from "../exchange/verify-backend.ts";
import { encodeMessage } from "../wire/codec.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { FrameKind, FrameSchema } from "../wire/messages.ts";
import { serveBackend } from "./serve-backend.ts";

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
