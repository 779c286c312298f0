import assert from "node:assert/strict";
import { test } from "node:test";
import { collectOutput } from "../../../test/support/fake-process-io.mjs";
import { createOutput, type Output } from "./output.ts";

const EVIL = "a\u001b[2Jb\nrpb: [INTERNAL] forged\r\u009b\u202e";

function written(terminal: boolean, write: (output: Output) => void): { out: string; err: string } {
  const collected = collectOutput(createOutput, { terminal });
  write(collected.output);
  return collected.written;
}

for (const terminal of [true, false])
  test(`a line stays one line on both streams, ${terminal ? "in" : "without"} a terminal`, () => {
    const { out, err } = written(terminal, (output) => {
      output.out(["first", EVIL]);
      output.err(EVIL);
      output.out([]);
    });
    assert.equal(out, "first\na?[2Jb?rpb: [INTERNAL] forged???\n");
    assert.equal(err, "a?[2Jb?rpb: [INTERNAL] forged???\n");
  });

test("a document reaches a pipe byte for byte, and a terminal without what would steer it", () => {
  assert.equal(written(false, (output) => output.document(EVIL)).out, EVIL);
  assert.equal(written(true, (output) => output.document(EVIL)).out, "a?[2Jb\nrpb: [INTERNAL] forged???");
});
