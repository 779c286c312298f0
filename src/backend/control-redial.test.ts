/** A backend whose control channel has ended dials its broker's socket; the test listens there. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Broker, platform, setUp, soon } from "../../test/backend/support/control-bench.ts";
import { request, textOf } from "../../test/support/peers/raw-client.ts";
import { probeEndpoint } from "../exchange/probe-endpoint.ts";
import type { User } from "../platform/ports/index.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { decodeControlMessage } from "../wire/control.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";

test("a backend whose broker is gone attaches to the next one, and is its as soon as that says so", async (t) => {
  const { broker, backend, listen, connect } = await setUp(t);
  await broker.next("leases");
  const listening = listen();
  broker.connection.close();
  const next = await listening.next();
  const { endpoint, pid } = await next.next("attach");
  assert.deepEqual([endpoint, pid, next.connection.peer.pid], [backend.endpoint, process.pid, process.pid]);
  assert.equal((await next.next("announce")).capabilities, 1n | (1n << 33n));
  await next.send({ case: "attached", value: {} });
  const lease = backend.lease("after");
  while ((await next.next("leases")).held === 0);
  lease.release();
  // And the one after that.
  next.connection.close();
  const third = await listening.next();
  await third.next("attach");
  const client = await connect();
  client.socket.write(request("served throughout", 1n));
  assert.equal(textOf(await client.frame()), "served throughout");
});

test("a broker that closes, or listens only later, is dialled again", async (t) => {
  const { broker, listen, errors } = await setUp(t);
  broker.connection.close();
  // At its first try no broker listens.
  await new Promise((resolve) => setImmediate(resolve));
  const listening = listen();
  for (let i = 0; i < 3; i++) {
    const refusing = await listening.next();
    await refusing.next("attach");
    refusing.connection.close();
  }
  assert.deepEqual(errors, []);
});

test("the waits get longer with each failure, and are short again after a broker has taken the backend", async (t) => {
  const clock = createManualClock();
  const { broker, listen } = await setUp(t, {}, { clock });
  const listening = listen();
  let last = broker;
  /** Closes the channel; the backend must dial again when these milliseconds have passed, and not before. */
  const redialledAfter = async (ms: number): Promise<Broker> => {
    last.connection.close();
    // Nothing else runs by this clock.
    while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(ms - 1);
    assert.equal(clock.pendingTimers, 1);
    clock.advance(1);
    last = await listening.next();
    await last.next("attach");
    return last;
  };
  for (const ms of [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) await redialledAfter(ms);
  await last.send({ case: "attached", value: {} });
  await last.next("leases");
  await redialledAfter(50);
});

test("nothing is said to a broker of another user", async (t) => {
  const user: User = { ...platform.user, owns: () => false };
  const { broker, listen } = await setUp(t, {}, { user });
  const listening = listen();
  broker.connection.close();
  assert.equal((await (await listening.next()).connection.readExactly(1, soon())).length, 0);
});

test("a probe is a reason to dial at once", async (t) => {
  const clock = createManualClock();
  const { broker, backend, listen } = await setUp(t, {}, { clock });
  broker.connection.close();
  const listening = listen();
  let come: Broker | undefined;
  void listening.next().then((next) => {
    come = next;
  });
  // The first probe may be answered before the end of the channel is seen. No time passes.
  while (come === undefined) (await probeEndpoint(platform, backend.endpoint, { deadline: soon() })).listener?.close();
  await come.next("attach");
});

test("a broker that reads nothing costs the backend the channel, not its clients, and gets the whole of each message", async (t) => {
  const { broker, connect, listen } = await setUp(t, {
    onReleaseHandles() {
      throw new Error("x".repeat(1_000));
    },
    onError() {},
  });
  const listening = listen();
  // Answered with more than the socket holds, and nothing of it is read.
  for (let id = 1n; id <= 500n; id++)
    await broker.send({ case: "releaseHandles", value: { id, path: "/w", timeoutMs: 5_000n } });
  const next = await listening.next();
  await next.next("attach");
  const client = await connect();
  client.socket.write(request("served", 1n));
  assert.equal(textOf(await client.frame()), "served");
  // What had room is whole: the last thing that is read is the end between two messages.
  const decoder = createFrameDecoder();
  let outcomes = 0;
  for (;;) {
    const chunk = await broker.connection.readSome(65_536, soon());
    if (chunk.length === 0) break;
    decoder.push(chunk);
    for (let body = decoder.next(); body !== undefined; body = decoder.next())
      if (decodeControlMessage(decodeFrame(body)).message.case === "outcome") outcomes++;
  }
  assert.ok(outcomes > 10 && outcomes < 500, `${outcomes}`);
  assert.equal(decoder.bufferedBytes, 0);
});

test("a backend that stops closes its channel, and looks for no other", async (t) => {
  const { broker, backend, listen } = await setUp(t);
  const listening = listen();
  let dialled = 0;
  void listening.next().then(() => dialled++);
  await backend.stop();
  await broker.ended();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(dialled, 0);
});
