/** A client on a bare connection: what it hears, in which order, and how it ends. Real socket pairs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { openedSince, openNow } from "../../test/support/peers/pairs.ts";
import { Deadline } from "../base/clock.ts";
import { loadPlatform } from "../platform/platform.ts";
import type { Connection } from "../platform/ports/index.ts";
import { createManualClock, type ManualClock } from "../testing/manual-clock.ts";
import type { ClientWire, WireListener } from "./client-wire.ts";
import { createConnectionWire } from "./connection-wire.ts";

const platform = await loadPlatform();
const soon = (): Deadline => Deadline.after(platform.clock, 10_000);
const REPLY = Buffer.from("reply;");
const NO_REPLY = Buffer.alloc(0);

interface Bench {
  readonly clock: ManualClock;
  readonly client: Connection;
  readonly wire: ClientWire;
  /** What the listener heard: data as text, "end", "close". */
  readonly heard: string[];
  listen(more?: Partial<WireListener>): void;
  /** The next `length` bytes at the client. */
  read(length: number): Promise<string>;
  until(what: string): Promise<void>;
}

function setUp(t: TestContext, reply: Uint8Array): Bench {
  const before = openNow();
  const clock = createManualClock();
  const { ours: client, theirs } = platform.transport.pair();
  const wire = createConnectionWire(platform.transport.adoptConnection(theirs.take()), clock, reply);
  const heard: string[] = [];
  t.after(async () => {
    wire.destroy();
    client.close();
    await new Promise(setImmediate);
    assert.deepEqual(openedSince(before), [], "a descriptor was left open");
    assert.equal(clock.pendingTimers, 0);
  });
  return {
    clock,
    client,
    wire,
    heard,
    listen: (more = {}) =>
      wire.listen({
        onData: (chunk) => void heard.push(String(chunk)),
        onEnd: () => void heard.push("end"),
        onClose: () => void heard.push("close"),
        ...more,
      }),
    read: async (length) => String(await client.readExactly(length, soon())),
    async until(what) {
      while (!heard.includes(what)) await new Promise(setImmediate);
    },
  };
}

test("a request that is there already is answered in one piece with the broker's reply", async (t) => {
  const at = setUp(t, REPLY);
  await at.client.writeAll(Buffer.from("request"), soon());
  at.listen();
  assert.deepEqual(at.heard, ["request"]);
  // Nothing has left yet: the reply waits for the answer.
  assert.equal(at.client.readNow(100), undefined);
  at.wire.write(Buffer.from("answer"), () => {});
  assert.equal(String(at.client.readNow(100)), "reply;answer");
  await at.client.writeAll(Buffer.from("more"), soon());
  await at.until("more");
});

test("the reply does not wait for an answer that takes longer than a millisecond", async (t) => {
  const at = setUp(t, REPLY);
  await at.client.writeAll(Buffer.from("request"), soon());
  at.listen();
  at.clock.advance(1);
  assert.equal(String(at.client.readNow(100)), "reply;");
  at.wire.write(Buffer.from("answer"), () => {});
  assert.equal(String(at.client.readNow(100)), "answer");
});

test("a client that has sent nothing gets the reply at once", (t) => {
  const at = setUp(t, REPLY);
  at.listen();
  assert.equal(String(at.client.readNow(100)), "reply;");
  assert.equal(at.clock.pendingTimers, 0);
});

test("an end before any answer sends the reply first", async (t) => {
  const at = setUp(t, REPLY);
  await at.client.writeAll(Buffer.from("request"), soon());
  at.listen();
  at.wire.end();
  assert.equal(await at.read(100), "reply;");
  assert.deepEqual(at.heard, ["request", "close"]);
});

test("writes that find no room leave in their order, and an end waits for them", async (t) => {
  const at = setUp(t, NO_REPLY);
  at.listen();
  const big = Buffer.alloc(1024 * 1024, "x");
  const done: number[] = [];
  for (const i of [0, 1, 2]) at.wire.write(Buffer.concat([big, Buffer.from([0x30 + i])]), () => void done.push(i));
  at.wire.end();
  const all = await at.read(3 * (big.length + 1) + 1);
  assert.equal(all.length, 3 * (big.length + 1));
  assert.deepEqual(
    [0, 1, 2].map((i) => all[(i + 1) * (big.length + 1) - 1]),
    ["0", "1", "2"],
  );
  await at.until("close");
  assert.deepEqual(done, [0, 1, 2]);
});

test("nothing is heard while paused, and all of it afterwards", async (t) => {
  const at = setUp(t, NO_REPLY);
  at.listen();
  at.wire.pause();
  await at.client.writeAll(Buffer.from("held"), soon());
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.deepEqual(at.heard, []);
  at.wire.resume();
  await at.until("held");
});

test("the client's end is heard once, it can still be answered, and its death is a close", async (t) => {
  const at = setUp(t, NO_REPLY);
  at.listen();
  at.client.close();
  await at.until("end");
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.deepEqual(at.heard, ["end"]);
  const failed = await new Promise<unknown>((resolve) => at.wire.write(Buffer.from("late"), resolve));
  assert.ok(failed instanceof Error);
  at.wire.destroy();
  await at.until("close");
});

test("a close is told after whoever caused it is done", async (t) => {
  const at = setUp(t, NO_REPLY);
  at.listen();
  at.wire.destroy();
  assert.deepEqual(at.heard, []);
  at.wire.destroy();
  await at.until("close");
  assert.deepEqual(at.heard, ["close"]);
});

test("handed out, it is an ordinary socket with the rest of the stream, and the listener hears of its close only", async (t) => {
  const at = setUp(t, REPLY);
  await at.client.writeAll(Buffer.from("head"), soon());
  at.listen();
  const socket = at.wire.handOut();
  assert.equal(await at.read(6), "reply;");
  await at.client.writeAll(Buffer.from("rest"), soon());
  const [chunk] = await once(socket, "data");
  assert.equal(String(chunk), "rest");
  socket.destroy();
  await at.until("close");
  assert.deepEqual(at.heard, ["head", "close"]);
});
