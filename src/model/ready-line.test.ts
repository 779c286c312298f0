import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { readyLine } from "./ready-line.ts";

test("an ordinary path stands as it is, blanks, quotes and letters of any script included", () => {
  for (const path of ["/run/user/1000/x.sock", "/a b/c", "/q'\"\\$&", "/ü€𝕣"])
    assert.equal(readyLine(path), `ready ${path}`);
});

test("a path that would end the line or steer a terminal is a JSON string of ASCII escapes", () => {
  assert.equal(readyLine('/n\nl"'), 'ready "/n\\nl\\""');
  assert.equal(readyLine("/\u009b31m"), 'ready "/\\u009b31m"');
  assert.equal(readyLine("/\u202e"), 'ready "/\\u202e"');
  assert.equal(readyLine("/\u200b\u{e0041}"), 'ready "/\\u200b\\udb40\\udc41"');
});

test("whatever the path, the line is one, and says it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const path = `/${text}`;
      const line = readyLine(path);
      assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      const said = line.slice("ready ".length);
      assert.equal(said.startsWith('"') ? JSON.parse(said) : said, path);
    }),
  );
});
