import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonLine, printable, printableEscaped, printableLines } from "./printable.ts";

const STEERING =
  "\u0000\u0007\u0008\u000b\u000c\r\u001b\u007f\u0080\u009b\u009f\u061c\u200e\u2028\u2029\u202e\u2066\u2069\ufeff";

test("one line: whatever steers a terminal or ends a line is a question mark", () => {
  assert.equal(printable("a\u001b]0;owned\u0007\u009b2J\u202e\r\nb\tc"), "a?]0;owned??2J???b?c");
  assert.equal(printable(STEERING), "?".repeat([...STEERING].length));
  assert.equal(printable("grüße, 日本語, 👍🏽"), "grüße, 日本語, 👍🏽");
});

test("several lines keep their ends and tabs and lose their colours", () => {
  assert.equal(printableLines("\u001b[1;31mred\u001b[0m\tx\r\n\u001b[2Jy\rz\n"), "red\tx\n?[2Jy?z\n");
});

test("JSON with escapes means the same and steers nothing, whatever its layout", () => {
  const value = { [STEERING]: [STEERING, { deep: `${STEERING}\n\t"\\` }], plain: "grüße" };
  const line = jsonLine(value);
  assert.deepEqual(JSON.parse(line), value);
  assert.equal(printable(line), line);
  const body = `${JSON.stringify(value, undefined, "\t")}\r\n`;
  const escaped = printableEscaped(body);
  assert.deepEqual(JSON.parse(escaped), value);
  assert.equal(printableLines(escaped), escaped);
});
