/** Messages out of whatever pieces recvmsg(2) gives, and whose the descriptors are. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../base/errors.ts";
import { fdOf, receivedOf } from "../platform/posix/descriptors.ts";
import { encodeFrameBytes } from "../wire/framing.ts";
import { createOfferDecoder, type OfferMessage } from "./offer-decoder.ts";

function message(byte: number, body: string): Buffer {
  return Buffer.concat([Buffer.alloc(16, byte), encodeFrameBytes(Buffer.from(body))]);
}

function shown({ sideband, frameBody, received }: OfferMessage): unknown[] {
  return [sideband[0], String(frameBody), received.map(fdOf)];
}

test("however the stream is cut, each message comes whole, with the descriptors read with its bytes", () => {
  const bodies = fc.array(fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }), {
    minLength: 1,
    maxLength: 5,
  });
  fc.assert(
    fc.property(bodies, fc.infiniteStream(fc.integer({ min: 1, max: 30 })), (texts, sizes) => {
      const decoder = createOfferDecoder();
      const seen: unknown[] = [];
      for (const [i, text] of texts.entries()) {
        const bytes = message(i, text);
        for (let at = 0; at < bytes.length; ) {
          const size = Math.min(bytes.length - at, sizes.next().value as number);
          // On the first byte, as the broker sends it.
          decoder.push({ bytes: bytes.subarray(at, at + size), received: at === 0 ? [receivedOf(100 + i)] : [] });
          at += size;
          for (let got = decoder.next(); got !== undefined; got = decoder.next()) seen.push(shown(got));
        }
      }
      assert.deepEqual(
        seen,
        texts.map((text, i) => [i, text, [100 + i]]),
      );
      assert.equal(decoder.partial, false);
      decoder.end();
      assert.deepEqual(decoder.takeLeftover(), []);
    }),
  );
});

test("several messages in one read: the descriptors belong to the last one, behind which the kernel stops", () => {
  const decoder = createOfferDecoder();
  decoder.push({ bytes: Buffer.concat([message(1, "a"), message(2, "b")]), received: [receivedOf(7)] });
  assert.deepEqual(shown(decoder.next() as OfferMessage), [1, "a", []]);
  assert.deepEqual(shown(decoder.next() as OfferMessage), [2, "b", [7]]);
  assert.equal(decoder.next(), undefined);
});

test("an end inside a message is one too early, and what came with it is given back", () => {
  const decoder = createOfferDecoder();
  decoder.push({ bytes: message(1, "abc").subarray(0, 20), received: [7, 8].map(receivedOf) });
  assert.equal(decoder.next(), undefined);
  assert.equal(decoder.partial, true);
  assert.throws(
    () => decoder.end(),
    (error) => hasCode(error, "FRAME_TRUNCATED"),
  );
  assert.deepEqual(decoder.takeLeftover(), [7, 8]);
  assert.deepEqual(decoder.takeLeftover(), []);
});

test("a frame of another framing, or too large for an offer, ends the stream", () => {
  for (const [header, code] of [
    [Buffer.of(2, 1, 0, 0, 0), "FRAMING_VERSION_UNSUPPORTED"],
    [Buffer.of(1, 1, 0, 1, 0), "FRAME_TOO_LARGE"],
  ] as const) {
    const decoder = createOfferDecoder();
    decoder.push({ bytes: Buffer.concat([Buffer.alloc(16), header]), received: [] });
    assert.throws(
      () => decoder.next(),
      (error) => hasCode(error, code),
    );
  }
});
