import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { hasCode, isBrokerError } from "../base/errors.ts";
import { createFrameDecoder, type FrameDecoder } from "./frame-decoder.ts";
import { encodeFrameBytes, FRAME_HEADER_BYTES } from "./framing.ts";
import { MAX_FRAME_BODY_BYTES, MAX_HELLO_BODY_BYTES } from "./limits.ts";

describe("one frame", () => {
  test("no bytes are an incomplete frame, and a stream may end there", () => {
    const decoder = createFrameDecoder();
    assert.equal(decoder.next(), undefined);
    decoder.push(Buffer.alloc(0));
    assert.equal(decoder.next(), undefined);
    decoder.end();
  });

  test("every proper prefix is incomplete, and the whole is one body", () => {
    const whole = encodeFrameBytes(Buffer.from("body"));
    for (let cut = 0; cut < whole.length; cut++) {
      const decoder = decoderOf(whole.subarray(0, cut));
      assert.equal(decoder.next(), undefined, `${cut} bytes`);
      assert.equal(decoder.bufferedBytes, cut);
    }
    assert.equal(decoderOf(whole).next()?.toString(), "body");
  });

  test("a zero-length body is a frame", () => {
    const decoder = decoderOf(Buffer.from("0100000000", "hex"));
    assert.equal(decoder.next()?.length, 0);
    assert.equal(decoder.next(), undefined);
  });

  test("bytes behind a frame stay, as the next frames or as the rest", () => {
    const decoder = decoderOf(
      Buffer.concat([
        encodeFrameBytes(Buffer.from("a")),
        encodeFrameBytes(Buffer.from("bc")),
        Buffer.from("01ff", "hex"),
      ]),
    );
    assert.equal(decoder.next()?.toString(), "a");
    assert.equal(decoder.next()?.toString(), "bc");
    assert.equal(decoder.next(), undefined);
    assert.equal(decoder.bufferedBytes, 2);
    assert.equal(decoder.takeRest().toString("hex"), "01ff");
    assert.equal(decoder.bufferedBytes, 0);
  });

  test("taking the rest inside a frame forgets its header, too", () => {
    const decoder = decoderOf(encodeFrameBytes(Buffer.from("longer than the next")).subarray(0, 9));
    assert.equal(decoder.next(), undefined);
    assert.equal(decoder.takeRest().length, 9);
    decoder.push(encodeFrameBytes(Buffer.from("next")));
    assert.equal(decoder.next()?.toString(), "next");
  });
});

describe("header faults", () => {
  test("another framing version is refused from its first byte alone", () => {
    for (const version of [0, 2, 0x7f, 0xff]) {
      const decoder = decoderOf(Buffer.from([version]));
      assert.throws(
        () => decoder.next(),
        (error) => hasCode(error, "FRAMING_VERSION_UNSUPPORTED") && error.message.includes(`version ${version}`),
      );
    }
  });

  test("the version is judged before the length", () => {
    assert.throws(
      () => decoderOf(Buffer.from("02ffffffff", "hex")).next(),
      (error) => hasCode(error, "FRAMING_VERSION_UNSUPPORTED"),
    );
  });

  for (const limit of [MAX_FRAME_BODY_BYTES, MAX_HELLO_BODY_BYTES]) {
    test(`a body of exactly ${limit} bytes is allowed`, () => {
      const decoder = createFrameDecoder({ maxBodyBytes: limit });
      decoder.push(encodeFrameBytes(Buffer.alloc(limit, 7)));
      assert.equal(decoder.next()?.length, limit);
    });

    test(`a length of ${limit + 1} is refused once the header is there, without its body`, () => {
      const header = headerOf(limit + 1);
      const decoder = createFrameDecoder({ maxBodyBytes: limit });
      decoder.push(header.subarray(0, 4));
      assert.equal(decoder.next(), undefined);
      decoder.push(header.subarray(4));
      assert.throws(
        () => decoder.next(),
        (error) =>
          hasCode(error, "FRAME_TOO_LARGE") &&
          error.message.includes(String(limit + 1)) &&
          error.message.includes(String(limit)),
      );
    });
  }

  test("the limit is 16 MiB when none is given", () => {
    assert.throws(
      () => decoderOf(headerOf(MAX_FRAME_BODY_BYTES + 1)).next(),
      (error) => hasCode(error, "FRAME_TOO_LARGE"),
    );
  });

  test("the highest length is read as unsigned", () => {
    assert.throws(
      () => decoderOf(headerOf(0xffff_ffff)).next(),
      (error) => hasCode(error, "FRAME_TOO_LARGE") && error.message.includes("4294967295"),
    );
  });

  test("a fault is permanent: every later call throws it and nothing is kept", () => {
    const decoder = decoderOf(Buffer.concat([encodeFrameBytes(Buffer.from("good")), Buffer.from([9])]));
    assert.equal(decoder.next()?.toString(), "good");
    const first = caught(() => decoder.next());
    decoder.push(encodeFrameBytes(Buffer.from("too late")));
    assert.equal(
      caught(() => decoder.next()),
      first,
    );
    assert.equal(
      caught(() => decoder.end()),
      first,
    );
    assert.equal(decoder.bufferedBytes, 0);
    assert.equal(decoder.takeRest().length, 0);
  });
});

describe("the end of the stream", () => {
  for (const [bytes, context] of [
    ["01", "body length header"],
    ["01040000", "body length header"],
    ["0104000000", "frame body"],
    ["0104000000aabbcc", "frame body"],
  ] as const) {
    test(`after ${bytes} it is reported in the ${context}`, () => {
      const decoder = decoderOf(Buffer.from(bytes, "hex"));
      assert.equal(decoder.next(), undefined);
      assert.throws(
        () => decoder.end(),
        (error) => hasCode(error, "FRAME_TRUNCATED") && error.details.check === context,
      );
    });
  }
});

describe("properties", () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });

  test("any chunking gives the same frames", () => {
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1 }), (sent, sizes) => {
        const stream = Buffer.concat(sent.map((body) => encodeFrameBytes(body)));
        const decoder = createFrameDecoder();
        const received: string[] = [];
        let at = 0;
        for (let turn = 0; at < stream.length; turn++) {
          // A zero in the sizes pushes an empty chunk; one byte more each round keeps the loop going.
          const size = (sizes[turn % sizes.length] ?? 0) + Math.floor(turn / sizes.length);
          decoder.push(stream.subarray(at, at + size));
          at += size;
          received.push(...drain(decoder));
        }
        decoder.end();
        assert.deepEqual(
          received,
          sent.map((body) => Buffer.from(body).toString("hex")),
        );
      }),
    );
  });

  test("arbitrary bytes, however cut, give frames or one coded error, never anything else", () => {
    const nearlyFrames = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.uint8Array({ maxLength: 64 }).map((tail) => Uint8Array.of(1, tail.length % 5, 0, 0, 0, ...tail)),
    );
    fc.assert(
      fc.property(fc.array(nearlyFrames, { maxLength: 6 }), (chunks) => {
        const decoder = createFrameDecoder();
        try {
          for (const chunk of chunks) {
            decoder.push(chunk);
            drain(decoder);
          }
          decoder.end();
        } catch (error) {
          assert.ok(isBrokerError(error), String(error));
          assert.match(error.code, /^(FRAMING_VERSION_UNSUPPORTED|FRAME_TOO_LARGE|FRAME_TRUNCATED)$/);
        }
      }),
    );
  });

  test("a body that came in single bytes is whole", () => {
    const body = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 251));
    const decoder = createFrameDecoder();
    const received: Buffer[] = [];
    for (const byte of encodeFrameBytes(body)) {
      decoder.push(Uint8Array.of(byte));
      const frame = decoder.next();
      if (frame !== undefined) received.push(frame);
    }
    assert.deepEqual(received, [body]);
  });
});

function decoderOf(bytes: Buffer): FrameDecoder {
  const decoder = createFrameDecoder();
  decoder.push(bytes);
  return decoder;
}

function headerOf(length: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header[0] = 1;
  header.writeUInt32LE(length, 1);
  return header;
}

function drain(decoder: FrameDecoder): string[] {
  const bodies: string[] = [];
  for (let body = decoder.next(); body !== undefined; body = decoder.next()) bodies.push(body.toString("hex"));
  return bodies;
}

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
}
