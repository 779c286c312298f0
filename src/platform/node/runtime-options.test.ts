import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { splitNodeOptions } from "./runtime-options.ts";

/** By what stands for `PATH`, the path of a module with a space in it. */
const WRITTEN: Readonly<Record<string, string[]>> = {
  '"--require=PATH"': ["--require=PATH"],
  '--require "PATH"': ["--require", "PATH"],
  '  --require  "PATH"  ': ["--require", "PATH"],
  '--re"quire=PATH"': ["--require=PATH"],
  '"--re""quire"="PATH"': ["--require=PATH"],
  '"\\--require=PATH"': ["--require=PATH"],
  '--no-warnings "-r" "PATH"': ["--no-warnings", "-r", "PATH"],
};

for (const [text, words] of Object.entries(WRITTEN)) {
  test(`NODE_OPTIONS=${text} is split as Node does, which loads the module`, (t) => {
    const root = mkdtempSync(join(tmpdir(), "o-"));
    t.after(() => rmSync(root, { recursive: true }));
    mkdirSync(join(root, "a b"));
    const path = join(root, "a b/pre.cjs");
    writeFileSync(path, "console.log('loaded')");
    const options = text.replace("PATH", path);
    assert.deepEqual(
      splitNodeOptions(options),
      words.map((word) => word.replace("PATH", path)),
    );
    const env = { ...process.env, NODE_OPTIONS: options };
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", "0"], { env, encoding: "utf8" });
    assert.equal(stdout, "loaded\n", stderr);
  });
}

test("quotes and backslashes: those outside of quotes, escaped ones, and a quote that is not closed", () => {
  assert.deepEqual(splitNodeOptions(""), []);
  assert.deepEqual(splitNodeOptions('""'), []);
  assert.deepEqual(splitNodeOptions("a\\b\tc"), ["a\\b\tc"]);
  assert.deepEqual(splitNodeOptions('"a\\" b\\\\" c'), ['a" b\\', "c"]);
  assert.deepEqual(splitNodeOptions('"a b'), ["a b"]);
  assert.deepEqual(splitNodeOptions('"a\\'), ["a"]);
});
