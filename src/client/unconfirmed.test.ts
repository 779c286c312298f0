import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFrame } from "../wire/envelope.ts";
import { createFrameDecoder } from "../wire/frame-decoder.ts";
import { type Ack, encodeAck, encodeReadyEvent } from "../wire/handoff.ts";
import type { Frame } from "../wire/messages.ts";
import { createUnconfirmed } from "./unconfirmed.ts";

const token = Buffer.alloc(16, 7);
const reconnect = (): Promise<never> => Promise.reject(new Error("not in this test"));
const refusal: Ack = { token, accepted: false, errorDetail: "no", correlationId: 1n };

function frameIn(bytes: Buffer): Frame {
  const decoder = createFrameDecoder();
  decoder.push(bytes);
  return decodeFrame(decoder.next() ?? Buffer.alloc(0));
}

test("only the broker's refusal of this very token says that nothing was read", () => {
  const { judge } = createUnconfirmed({ token, reconnect });
  assert.equal(judge(frameIn(encodeReadyEvent(refusal))), "refused");
  const others = [
    encodeReadyEvent({ ...refusal, accepted: true }),
    encodeReadyEvent({ ...refusal, token: Buffer.alloc(16, 8) }),
    encodeReadyEvent({ ...refusal, token: Buffer.alloc(0) }),
    encodeAck(refusal),
  ];
  for (const bytes of others) assert.equal(judge(frameIn(bytes)), "confirmed");
});

test("requests are kept in the order they were sent, until they are given up", () => {
  const unconfirmed = createUnconfirmed({ token, reconnect });
  for (const id of [1n, 2n, 3n]) unconfirmed.keep(id, { bytes: Buffer.of(Number(id)), idempotent: id === 2n });
  unconfirmed.forget(1n);
  assert.deepEqual([...unconfirmed.sent.keys()], [2n, 3n]);
});

test("the connection that takes its place can be replaced, too, but no frame on it is a refusal; the next one cannot", () => {
  const unconfirmed = createUnconfirmed({ token, reconnect });
  unconfirmed.keep(1n, { bytes: Buffer.of(1), idempotent: true });
  const second = unconfirmed.successor();
  assert.equal(second?.sent.size, 0);
  assert.equal(second.reconnect, reconnect);
  assert.equal(second.judge(frameIn(encodeReadyEvent(refusal))), "confirmed");
  assert.equal(second.successor(), undefined);
});
