import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Deadline } from "../../base/clock.ts";
import { readFrameBody } from "../../exchange/frame-io.ts";
import { loadPlatform } from "../../platform/platform.ts";
import type { Connection, Received, Transferable } from "../../platform/ports/index.ts";
import { lend } from "../../platform/posix/descriptors.ts";
import { createManualClock, type ManualClock } from "../../testing/manual-clock.ts";
import { encodeAnnounce, encodeControl } from "../../wire/control.ts";
import { decodeFrame } from "../../wire/envelope.ts";
import { decodeOffer, encodeAck, type Offer } from "../../wire/handoff.ts";
import type { AckUrgency, HandoffExchange } from "../handoff/handoff-transport.ts";
import { type ControlChannel, createControlChannel } from "./control-channel.ts";

const platform = await loadPlatform();
const soon = (): Deadline => Deadline.after(platform.clock, 10_000);
const DIRECT = 1n | (1n << 33n);

function offerOf(id: number): Offer {
  return { handleValue: 0n, token: Buffer.alloc(16, id), serviceName: "svc", correlationId: BigInt(id) };
}

interface Bench {
  readonly clock: ManualClock;
  readonly channel: ControlChannel;
  /** The backend's end. */
  readonly backend: Connection;
  /** Sends the offer over the channel and takes it out at the other end. */
  offer(id: number, limitMs?: number, urgency?: AckUrgency): Promise<HandoffExchange>;
  answer(id: number, more?: Partial<Parameters<typeof encodeAck>[0]>): Promise<void>;
  /** Resolves once the channel has read what was written to it so far. */
  seen(capabilities: bigint): Promise<void>;
}

async function setUp(t: TestContext): Promise<Bench> {
  const clock = createManualClock();
  const { ours, theirs } = platform.transport.pair();
  const backend = platform.transport.adoptConnection(theirs.take());
  const client = platform.transport.pair();
  const channel = createControlChannel({ clock }, ours);
  t.after(() => {
    backend.close();
    channel.close();
    ours.close();
    client.ours.close();
    client.theirs.close();
  });
  const bench: Bench = {
    clock,
    channel,
    backend,
    async offer(id, limitMs = 5_000, urgency = "at-once") {
      const exchange = channel.way()?.open(offerOf(id), urgency);
      assert.ok(exchange !== undefined);
      assert.deepEqual(await exchange.send(client.theirs.transferable, Deadline.after(clock, limitMs)), { ok: true });
      const { bytes, received } = await backend.receiveExactly(16, soon());
      for (const each of received) platform.transport.discard(each);
      assert.deepEqual([bytes, received.length], [offerOf(id).token, 1]);
      const body = await readFrameBody(backend, { maxBodyBytes: 65_536, deadline: soon() });
      assert.equal(decodeOffer(decodeFrame(body)).correlationId, BigInt(id));
      return exchange;
    },
    answer: async (id, more = {}) =>
      backend.writeAll(encodeAck({ ...offerOf(id), accepted: true, errorDetail: "", ...more }), soon()),
    async seen(capabilities) {
      await backend.writeAll(encodeAnnounce(capabilities), soon());
      const expected = capabilities === 0n ? undefined : (capabilities & (1n << 33n)) !== 0n;
      while (channel.way()?.direct !== expected) await new Promise((resolve) => setImmediate(resolve));
    },
  };
  await bench.seen(DIRECT);
  return bench;
}

test("there is a way once the backend has announced it, in the mode that it announced", async (t) => {
  const at = await setUp(t);
  assert.equal(at.channel.way()?.direct, true);
  await at.seen(1n);
  assert.equal(at.channel.way()?.direct, false);
  await at.seen(0n);
  assert.equal(at.channel.way(), undefined);
});

test("acknowledgements find their offers in whatever order they come; a refusal carries the backend's words", async (t) => {
  const at = await setUp(t);
  const [first, second, third] = [await at.offer(1), await at.offer(2), await at.offer(3)];
  await at.answer(3);
  await at.answer(1, { accepted: false, errorDetail: "not now" });
  await at.answer(2);
  const never = Deadline.never(at.clock);
  assert.deepEqual(await first.awaitAck(never), { ok: false, rejected: true, detail: "not now" });
  assert.deepEqual(await second.awaitAck(never), { ok: true });
  assert.deepEqual(await third.awaitAck(never), { ok: true });
});

test("an acknowledgement one millisecond late is none: the connection may be in use and must be ended", async (t) => {
  const at = await setUp(t);
  const [late, intime] = [await at.offer(1), await at.offer(2, 5_001)];
  at.clock.advance(5_000);
  await at.answer(1);
  await at.answer(2);
  const never = Deadline.never(at.clock);
  // Not `rejected`, which would say that nothing was read.
  assert.deepEqual(await late.awaitAck(never), { ok: false, detail: "the backend did not acknowledge in time" });
  assert.deepEqual(await intime.awaitAck(never), { ok: true });
  // It does not count for anybody else either, and the channel goes on.
  const next = await at.offer(3);
  await at.answer(3);
  assert.deepEqual(await next.awaitAck(never), { ok: true });
  at.clock.advance(5_000);
  assert.equal(at.clock.pendingTimers, 0, "the one timer is armed for offers that wait only");
});

test("an acknowledgement that nobody waits for is taken a millisecond later, and one that somebody waits for takes it along", async (t) => {
  const at = await setUp(t);
  const never = Deadline.never(at.clock);
  const alone = await at.offer(1, 5_000, "at-leisure");
  await at.answer(1);
  at.clock.advance(1);
  assert.deepEqual(await alone.awaitAck(never), { ok: true });
  const leisurely = await at.offer(2, 5_000, "at-leisure");
  const urgent = await at.offer(3, 5_000, "at-once");
  await at.answer(2);
  await at.answer(3);
  assert.deepEqual(await urgent.awaitAck(never), { ok: true });
  assert.deepEqual(await leisurely.awaitAck(never), { ok: true });
});

test("the backend's end proves that what it did not acknowledge was not read", async (t) => {
  const at = await setUp(t);
  const [acknowledged, open] = [await at.offer(1), await at.offer(2)];
  await at.answer(1);
  at.backend.close();
  const never = Deadline.never(at.clock);
  assert.deepEqual(await acknowledged.awaitAck(never), { ok: true });
  const outcome = await open.awaitAck(never);
  assert.ok(!outcome.ok && outcome.rejected === true && outcome.detail.includes("control channel ended"));
  assert.equal(at.channel.way(), undefined);
});

for (const [what, bytes] of [
  ["garbage", Buffer.from("garbage")],
  ["an echo of another token", encodeAck({ ...offerOf(1), token: Buffer.alloc(16), accepted: true, errorDetail: "" })],
  ["a frame of another protocol", encodeAnnounce(1n).fill(0x7f, 9)],
] as const) {
  test(`${what} ends the channel, and proves nothing about the connections that were offered`, async (t) => {
    const at = await setUp(t);
    const [first, second] = [await at.offer(1), await at.offer(2)];
    await at.backend.writeAll(bytes, soon());
    for (const exchange of [first, second]) {
      const outcome = await exchange.awaitAck(Deadline.never(at.clock));
      assert.ok(!outcome.ok && outcome.rejected === undefined, JSON.stringify(outcome));
    }
    assert.equal(at.channel.way(), undefined);
    assert.equal((await at.backend.readExactly(1, soon())).length, 0);
  });
}

test("an acknowledgement that was written before the backend died counts, also when the broker closes first", async (t) => {
  const at = await setUp(t);
  const [acknowledged, open] = [await at.offer(1), await at.offer(2)];
  await at.answer(1);
  // As when the end of the process is noticed before what it wrote is read.
  at.channel.close();
  at.backend.close();
  const never = Deadline.never(at.clock);
  assert.deepEqual(await acknowledged.awaitAck(never), { ok: true });
  const outcome = await open.awaitAck(never);
  assert.ok(!outcome.ok && outcome.rejected === true);
});

test("a closed channel offers nothing, and lets go once the last offer is settled", async (t) => {
  const at = await setUp(t);
  const way = at.channel.way();
  const open = await at.offer(1);
  at.channel.close();
  assert.equal(at.channel.way(), undefined);
  const sent = await way?.open(offerOf(2), "at-once").send(lend(0), Deadline.after(at.clock, 1000));
  assert.deepEqual(sent, {
    ok: false,
    error: "backend-socket-unavailable",
    detail: "the broker closed the control channel",
  });
  at.clock.advance(5_000);
  assert.equal((await open.awaitAck(Deadline.never(at.clock))).ok, false);
  assert.equal((await at.backend.readExactly(1, soon())).length, 0);
  assert.equal(at.clock.pendingTimers, 0);
});

test("an offer that has no room until its time is up was not sent, and the next one is", async (t) => {
  const at = await setUp(t);
  const client = platform.transport.pair();
  t.after(() => client.ours.close());
  t.after(() => client.theirs.close());
  let sentCount = 0;
  let blocked: unknown;
  // The backend reads nothing: the socket is full after some hundred offers.
  while (blocked === undefined) {
    const exchange = at.channel.way()?.open(offerOf(1 + (sentCount % 200)), "at-once");
    const sending = exchange?.send(client.theirs.transferable, Deadline.after(at.clock, 5_000));
    const turn = new Promise((resolve) => setImmediate(() => resolve("blocked")));
    if ((await Promise.race([sending, turn])) === "blocked") blocked = sending;
    else sentCount++;
  }
  at.clock.advance(5_000);
  const outcome = (await blocked) as { ok: boolean; error?: string };
  assert.deepEqual([outcome.ok, outcome.error], [false, "would-block"]);
  assert.ok(sentCount > 10);
  assert.ok(at.channel.way() !== undefined);
});

test("a suspended channel reads nothing, and another one goes on in the middle of a message, with what was said before", async (t) => {
  const at = await setUp(t);
  const { backend, channel } = at;
  await backend.writeAll(
    encodeControl({ case: "leases", value: { requests: 2, connections: 1, begun: 7n, reasons: ["warm"] } }),
    soon(),
  );
  while (channel.control.leases() === undefined) await new Promise((resolve) => setImmediate(resolve));
  const next = encodeControl({ case: "leases", value: { requests: 3, begun: 8n } });
  await backend.writeAll(next.subarray(0, 9), soon());
  // The beginning of a message shows nowhere else.
  let suspended = await channel.suspend();
  for (; suspended?.memory.unfinished.length === 0; suspended = await channel.suspend()) {
    channel.resume();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(suspended !== undefined);
  assert.deepEqual(suspended.memory.unfinished, next.subarray(0, 9));
  await backend.writeAll(next.subarray(9), soon());
  const successor = createControlChannel(at, duplicate(t, suspended.transferable), suspended.memory);
  t.after(() => successor.close());
  assert.deepEqual(successor.control.leases()?.reasons, ["warm"]);
  assert.equal(successor.way()?.direct, true);
  while (successor.control.leases()?.requests !== 3) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(channel.control.leases()?.requests, 2);
  channel.letGo();
  // The backend does not see that one of them has closed its end.
  assert.equal(backend.readNow(1), undefined);
});

test("a suspended channel that is resumed has missed nothing", async (t) => {
  const at = await setUp(t);
  assert.ok((await at.channel.suspend()) !== undefined);
  await at.backend.writeAll(encodeControl({ case: "leases", value: { requests: 1 } }), soon());
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(at.channel.control.leases(), undefined);
  at.channel.resume();
  while (at.channel.control.leases()?.requests !== 1) await new Promise((resolve) => setImmediate(resolve));
  const exchange = await at.offer(1);
  await at.answer(1);
  assert.deepEqual(await exchange.awaitAck(soon()), { ok: true });
});

/** What another process gets. */
function duplicate(t: TestContext, transferable: Transferable): Connection {
  const { ours, theirs } = platform.transport.pair();
  const other = platform.transport.adoptConnection(theirs.take());
  t.after(() => {
    ours.close();
    other.close();
  });
  ours.sendWithDescriptor(Buffer.of(1), transferable, soon());
  return platform.transport.adoptConnection(other.receiveNow(1)?.received[0] as Received);
}
