import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../base/errors.ts";
import { encodeRequest } from "../wire/envelope.ts";
import { encodeProbeRequest } from "../wire/probe.ts";
import { createWireReader, type WireReader } from "./wire-reader.ts";

const served = new Set([0xf001]);
const readers: Record<string, () => WireReader> = {
  "frames only": () => createWireReader({ served }),
  "with a legacy wire": () => createWireReader({ served, detect: () => "not-legacy" }),
};

function request(requestId: bigint, payload: Uint8Array): Buffer {
  return encodeRequest({ payloadProtocol: 0xf001, payload, requestId });
}

function drain(reader: WireReader): string[] {
  const seen: string[] = [];
  for (let verdict = reader.next(); verdict.type !== "need-more"; verdict = reader.next()) {
    if (verdict.type === "legacy") return [...seen, "legacy"];
    seen.push(
      verdict.type === "probe"
        ? "probe"
        : `${verdict.frame.requestId}:${Buffer.from(verdict.frame.payload).toString("hex")}`,
    );
  }
  return seen;
}

for (const [name, create] of Object.entries(readers)) {
  test(`${name}: any way of cutting a stream gives the same messages`, () => {
    const message = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 400 })),
        (payloads, cuts) => {
          const reader = create();
          const stream = Buffer.concat([
            ...payloads.map((payload, index) => request(BigInt(index), payload)),
            encodeProbeRequest(Buffer.alloc(32)),
          ]);
          const seen: string[] = [];
          let at = 0;
          for (const cut of [...cuts, stream.length]) {
            const chunk = stream.subarray(at, at + cut);
            at += chunk.length;
            if (chunk.length === 0) break;
            reader.push(chunk);
            seen.push(...drain(reader));
          }
          assert.deepEqual(seen, [
            ...payloads.map((payload, index) => `${index}:${Buffer.from(payload).toString("hex")}`),
            "probe",
          ]);
          reader.end();
        },
      ),
    );
  });

  test(`${name}: payloads handed out stay as they were while the stream goes on`, () => {
    const reader = create();
    const first = request(1n, Buffer.alloc(50, 0xaa));
    reader.push(first.subarray(0, 20));
    reader.push(first.subarray(20));
    const verdict = reader.next();
    assert.ok(verdict.type === "payload");
    for (let index = 0; index < 50; index++) {
      const bytes = request(2n, Buffer.alloc(50, 0xbb));
      reader.push(bytes.subarray(0, 7));
      reader.push(bytes.subarray(7));
      drain(reader);
    }
    assert.deepEqual(Buffer.from(verdict.frame.payload), Buffer.alloc(50, 0xaa));
  });

  test(`${name}: an end inside a message is a truncation, at a boundary it is none`, () => {
    const reader = create();
    reader.push(request(1n, Buffer.alloc(3)));
    drain(reader);
    reader.end();
    reader.push(Buffer.from([1, 0]));
    assert.throws(
      () => reader.end(),
      (error) => hasCode(error, "FRAME_TRUNCATED"),
    );
  });
}

test("without a legacy wire a foreign first byte is refused", () => {
  const reader = createWireReader({ served });
  reader.push(Buffer.from("GET /"));
  assert.throws(
    () => reader.next(),
    (error) => hasCode(error, "FRAMING_VERSION_UNSUPPORTED"),
  );
});

test("with a legacy wire the verdict is made anew at each boundary and consumes nothing", () => {
  const reader = createWireReader({ served, detect: () => "not-legacy" });
  reader.push(Buffer.concat([request(1n, Buffer.from("a")), Buffer.from("GET /")]));
  assert.deepEqual(drain(reader), ["1:61", "legacy"]);
  assert.deepEqual(drain(reader), ["legacy"], "still there");
  assert.equal(reader.takeRest().toString(), "GET /");
  assert.deepEqual(drain(reader), []);
});
