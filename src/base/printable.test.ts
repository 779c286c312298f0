import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "smol-toml";
import { isSteering, jsonLine, printable, printableJson, printableLines, printableToml } from "./printable.ts";

const STEERING =
  "\u0000\u0007\u0008\u000b\u000c\r\u001b\u007f\u0080\u009b\u009f\u061c\u200e\u2028\u2029\u202e\u2066\u2069\ufeff\ufff9\u200b\u200d\u00ad\u{e0041}";

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
  const escaped = printableJson(body);
  assert.deepEqual(JSON.parse(escaped), value);
  assert.equal(printableLines(escaped), escaped);
});

test("TOML with escapes means the same and steers nothing, tag characters beyond U+FFFF included", () => {
  const escaped = printableToml('name = "a\u200b\u{e0041}\u009bb"\r\n');
  assert.deepEqual({ ...parse(escaped) }, { name: "a\u200b\u{e0041}\u009bb" });
  assert.equal(printableLines(escaped), escaped);
});

test("a surrogate without its other half is written as an escape, and one of a pair is none", () => {
  const value = "a\ud800b\udc00c\u{1f98a}";
  assert.equal(jsonLine(value), '"a\\ud800b\\udc00c\u{1f98a}"');
  assert.equal(JSON.parse(jsonLine(value)), value);
  assert.deepEqual([isSteering("\ud800"), isSteering("\u{1f98a}"), isSteering("")], [true, false, false]);
});
