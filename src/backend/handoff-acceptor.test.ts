import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { openedSince, openNow } from "../../test/support/peers/pairs.ts";
import { Deadline } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import { readFrameBody } from "../exchange/frame-io.ts";
import { createTokenMemory } from "../model/handoff-tokens.ts";
import { loadPlatform } from "../platform/platform.ts";
import type { Connection, TheirEnd } from "../platform/ports/index.ts";
import { lend, receivedOf } from "../platform/posix/descriptors.ts";
import { encodeAnnounce, NO_SIDEBAND } from "../wire/control.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { checkAck, encodeOffer, type Offer } from "../wire/handoff.ts";
import { type AcceptorOptions, acceptHandoffs } from "./handoff-acceptor.ts";

const platform = await loadPlatform();
const deadline = (): Deadline => Deadline.after(platform.clock, 10_000);

function offerOf(byte: number, more: Partial<Offer> = {}): Offer {
  return { handleValue: 0n, token: Buffer.alloc(16, byte), serviceName: "svc", correlationId: BigInt(byte), ...more };
}

interface Bench {
  /** The broker's end of the channel. */
  readonly broker: Connection;
  readonly delivered: Connection[];
  readonly done: Promise<void>;
  /** A client connection: its own end, and what would be passed. */
  client(): { ours: Connection; theirs: TheirEnd };
  send(offer: Offer, options?: { sideband?: Uint8Array; descriptors?: readonly TheirEnd[] }): Promise<void>;
  answerTo(offer: Offer): Promise<ReturnType<typeof checkAck>>;
}

function setUp(t: TestContext, more: Partial<AcceptorOptions> = {}): Bench {
  const before = openNow();
  const { ours: broker, theirs } = platform.transport.pair();
  const delivered: Connection[] = [];
  const open: Connection[] = [broker];
  const { ended: done } = acceptHandoffs(platform.transport.adoptConnection(theirs.take()), {
    platform,
    tokens: createTokenMemory(),
    deliver: (connection) => void delivered.push(connection),
    accepting: () => true,
    ...more,
  });
  done.catch(() => {});
  t.after(async () => {
    for (const connection of [...open, ...delivered]) connection.close();
    await done.catch(() => {});
    assert.deepEqual(openedSince(before), [], "a descriptor was left open");
  });
  return {
    broker,
    delivered,
    done,
    client() {
      const pair = platform.transport.pair();
      open.push(pair.ours);
      return pair;
    },
    async send(offer, { sideband = offer.token, descriptors = [] } = {}) {
      const parts = Math.max(1, descriptors.length);
      for (let i = 0; i < parts; i++) {
        const bytes = sideband.subarray((i * 16) / parts, ((i + 1) * 16) / parts);
        const descriptor = descriptors[i];
        if (descriptor === undefined) await broker.writeAll(bytes, deadline());
        else await broker.sendWithDescriptor(bytes, descriptor.transferable, deadline());
      }
      for (const descriptor of descriptors) descriptor.close();
      await broker.writeAll(encodeOffer(offer), deadline());
    },
    async answerTo(offer) {
      const body = await readFrameBody(broker, { maxBodyBytes: 65_536, deadline: deadline() });
      return checkAck(decodeFrame(body), offer);
    },
  };
}

test("a good offer is acknowledged and its connection delivered, with every byte the client has sent", async (t) => {
  const at = setUp(t);
  const { ours, theirs } = at.client();
  await ours.writeAll(Buffer.from("early"), deadline());
  const offer = offerOf(1);
  await at.send(offer, { descriptors: [theirs] });
  assert.deepEqual(await at.answerTo(offer), { ok: true });
  const [delivered] = at.delivered;
  assert.equal(String(await delivered?.readExactly(5, deadline())), "early");
  await delivered?.writeAll(Buffer.of(0x5a), deadline());
  assert.deepEqual(await ours.readExactly(1, deadline()), Buffer.of(0x5a));
});

test("what is wrong with an offer is said in the answer; its descriptors are closed and the next one is taken", async (t) => {
  const at = setUp(t);
  const peers: Connection[] = [];
  const passed = (count: number): TheirEnd[] =>
    Array.from({ length: count }, () => {
      const { ours, theirs } = at.client();
      peers.push(ours);
      return theirs;
    });
  const short = Buffer.alloc(15, 9);
  for (const [offer, options, detail] of [
    [offerOf(1), { descriptors: [] }, "handoff carried no descriptor"],
    [offerOf(2), { descriptors: passed(2) }, "handoff carried 2 descriptors; expected 1"],
    [offerOf(3), { descriptors: passed(1), sideband: Buffer.alloc(16, 4) }, "handoff token mismatch"],
    [offerOf(4, { token: short }), { descriptors: passed(1), sideband: Buffer.alloc(16, 9) }, "handoff token mismatch"],
  ] as const) {
    await at.send(offer, options);
    assert.deepEqual(await at.answerTo(offer), { ok: false, rejected: true, detail });
  }
  // Each of them sees the end: nobody holds the other side.
  for (const peer of peers) assert.equal((await peer.readExactly(1, deadline())).length, 0);
  assert.equal(at.delivered.length, 0);
  const good = offerOf(5);
  await at.send(good, { descriptors: passed(1) });
  assert.deepEqual(await at.answerTo(good), { ok: true });
});

test("a descriptor that is no stream socket is refused", async (t) => {
  const at = setUp(t);
  const fd = openSync("/dev/null", "r");
  const noSocket: TheirEnd = { transferable: lend(fd), take: () => receivedOf(fd), close: () => closeSync(fd) };
  const offer = offerOf(1);
  await at.send(offer, { descriptors: [noSocket] });
  const answer = await at.answerTo(offer);
  assert.ok(!answer.ok && /is not a stream socket/.test(answer.detail), JSON.stringify(answer));
});

test("a token is let in once; a refused one may come again", async (t) => {
  const at = setUp(t);
  const offer = offerOf(1);
  await at.send(offer, {});
  assert.equal((await at.answerTo(offer)).ok, false);
  await at.send(offer, { descriptors: [at.client().theirs] });
  assert.deepEqual(await at.answerTo(offer), { ok: true });
  await at.send(offer, { descriptors: [at.client().theirs] });
  const replay = { ok: false, rejected: true, detail: "handoff token is not pending" };
  assert.deepEqual(await at.answerTo(offer), replay);
  assert.equal(at.delivered.length, 1);
});

test("a backend that is stopping refuses", async (t) => {
  const at = setUp(t, { accepting: () => false });
  const offer = offerOf(1);
  await at.send(offer, { descriptors: [at.client().theirs] });
  assert.deepEqual(await at.answerTo(offer), { ok: false, rejected: true, detail: "backend is shutting down" });
});

test("a connection whose acknowledgement cannot be written is not delivered", async (t) => {
  const at = setUp(t);
  const { ours, theirs } = at.client();
  const offer = offerOf(1);
  await at.broker.sendWithDescriptor(Buffer.concat([offer.token, encodeOffer(offer)]), theirs.transferable, deadline());
  theirs.close();
  at.broker.close();
  await assert.rejects(at.done, (error) => hasCode(error, "IO_FAILED"));
  assert.equal(at.delivered.length, 0);
  assert.equal((await ours.readExactly(1, deadline())).length, 0);
});

const MESSAGE = Buffer.concat([NO_SIDEBAND, encodeAnnounce(1n)]);

test("messages of other protocols go to their listener, and offers go on", async (t) => {
  const frames: number[] = [];
  const at = setUp(t, { onMessage: (frame) => void frames.push(frame.payloadProtocol) });
  await at.broker.writeAll(MESSAGE, deadline());
  const offer = offerOf(1);
  await at.send(offer, { descriptors: [at.client().theirs] });
  assert.deepEqual(await at.answerTo(offer), { ok: true });
  assert.deepEqual(frames, [0]);
});

test("where only offers may come, anything else ends the channel", async (t) => {
  const at = setUp(t);
  await at.broker.writeAll(MESSAGE, deadline());
  await assert.rejects(at.done, (error) => hasCode(error, "FRAME_UNEXPECTED"));
});

test("the end of the channel between two messages is no fault", async (t) => {
  const at = setUp(t);
  at.broker.close();
  await at.done;
});

test("an end inside a message is one, and what came with it is closed", async (t) => {
  const at = setUp(t);
  const { ours, theirs } = at.client();
  await at.broker.sendWithDescriptor(Buffer.alloc(16, 1), theirs.transferable, deadline());
  theirs.close();
  at.broker.close();
  await assert.rejects(at.done, (error) => hasCode(error, "FRAME_TRUNCATED"));
  assert.equal((await ours.readExactly(1, deadline())).length, 0);
});
