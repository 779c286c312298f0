import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../base/errors.ts";
import { decodeFrameHeader, encodeFrameBytes, FRAME_HEADER, FRAME_HEADER_BYTES, truncationContext } from "./framing.ts";
import { MAX_FRAME_BODY_BYTES } from "./limits.ts";

test("the header is five bytes, and its fields follow each other without gaps", () => {
  assert.equal(FRAME_HEADER_BYTES, 5);
  let offset = 0;
  for (const field of FRAME_HEADER) {
    assert.equal(field.offset, offset, field.name);
    offset += field.size;
  }
});

test("a frame is the version, the length in little-endian order and the body", () => {
  const bytes = encodeFrameBytes(Buffer.alloc(0x0102, 0xaa));
  assert.equal(bytes.subarray(0, 6).toString("hex"), "0102010000aa");
  assert.equal(bytes.length, 5 + 0x0102);
});

test("a body of 16 MiB can be written, one byte more cannot", () => {
  assert.equal(encodeFrameBytes(Buffer.alloc(MAX_FRAME_BODY_BYTES)).length, 5 + MAX_FRAME_BODY_BYTES);
  assert.throws(
    () => encodeFrameBytes(Buffer.alloc(MAX_FRAME_BODY_BYTES + 1)),
    (error) => hasCode(error, "FRAME_TOO_LARGE") && error.message.includes("16777217"),
  );
});

test("a header is judged by its version first, then by its length", () => {
  assert.equal(decodeFrameHeader(Buffer.from("0104030201", "hex"), 0xffff_ffff), 0x01020304);
  assert.throws(
    () => decodeFrameHeader(Buffer.from("00ffffffff", "hex"), 1),
    (error) => hasCode(error, "FRAMING_VERSION_UNSUPPORTED"),
  );
  assert.throws(
    () => decodeFrameHeader(Buffer.from("0102000000", "hex"), 1),
    (error) => hasCode(error, "FRAME_TOO_LARGE"),
  );
});

test("where a stream ended is named by how much of the frame had come", () => {
  const names = Array.from({ length: 7 }, (_, got) => truncationContext(got));
  assert.deepEqual(names, ["framing byte", ...Array<string>(4).fill("body length header"), "frame body", "frame body"]);
});
