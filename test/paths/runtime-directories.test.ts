/**
 * Runtime directories of any length and spelling, from a client that starts everything to `stop --all`: the usual
 * address, the hashed leaf, and the fallback directory.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { test } from "node:test";
import { isFallbackDirectory } from "../../src/model/places.ts";
import { createTool, ofBytes } from "./support/tool.ts";

type Way = "usual" | "hashed" | "fallback";

/** How a backend's address comes about, by the length of the directory. */
const BY_LENGTH: readonly (readonly [number, Way])[] = [
  [19, "usual"],
  [20, "hashed"],
  [21, "hashed"],
  [30, "hashed"],
  [60, "hashed"],
  [63, "fallback"],
  [100, "fallback"],
  [107, "fallback"],
  [150, "fallback"],
  [200, "fallback"],
];

const BY_SPELLING: readonly (readonly [string, number, string, Way])[] = [
  ["blanks, quotes, a backslash and dollar signs", 46, "/a  b'\"x\\$&$$", "hashed"],
  ["a line end", 36, "/n\nl", "hashed"],
  ["a line end and what looks like another line", 100, "/n\nready /elsewhere\n", "fallback"],
  ["letters of two bytes, the last of which goes over the limit", 63, "é".repeat(20), "fallback"],
  ["letters of three and four bytes", 62, "€𝕣".repeat(4), "hashed"],
  ["a change of the writing direction", 100, "/\u202etxt", "fallback"],
  ["slashes at its end", 100, "///", "fallback"],
];

const ROWS = [
  ...BY_LENGTH.map(([bytes, way]) => [`${bytes} bytes`, bytes, "", way] as const),
  ...BY_SPELLING.map(([what, bytes, end, way]) => [what, bytes, end, way] as const),
];

for (const [what, bytes, end, way] of ROWS) {
  test(`a runtime directory with ${what} serves clients, is listed and leaves nothing (${way})`, async (t) => {
    const tool = await createTool(t, ofBytes(bytes, end));
    const first = await tool.ask();
    assert.equal(first.answer, "hello");
    assert.equal(first.startedBroker, true);
    assert.ok(Buffer.byteLength(first.endpoint) <= 107);
    assert.equal(/^[0-9a-f]{16}\.sock$/.test(basename(first.endpoint)), way !== "usual");
    assert.equal(isFallbackDirectory(dirname(first.endpoint)), way === "fallback");
    const [second, listed, one, all] = await Promise.all([
      tool.ask(),
      tool.rpb("list-instances", "--json"),
      tool.rpb("status", "--json", "--instance", "private:tool"),
      tool.rpb("status"),
    ]);
    assert.deepEqual([second.startedBroker, second.endpoint], [false, first.endpoint]);
    assert.deepEqual(
      JSON.parse(listed.stdout).instances.map(({ broker_instance }: { broker_instance: string }) => broker_instance),
      ["private:tool"],
    );
    assert.equal(JSON.parse(one.stdout).backends[0].backend_pipe, first.endpoint);
    assert.equal(all.code, 0, all.stderr);
    assert.match(all.stdout, /^broker private:tool, pid \d+/);
    // Whatever the directory is called, each line stays one line and steers nothing.
    assert.doesNotMatch(all.stdout.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
    assert.equal(all.stdout.split("\n").length, 5);

    const stopped = await tool.rpb("stop", "--all", "--with-backends");
    assert.equal(stopped.code, 0, stopped.stderr);
    assert.match(stopped.stdout, /^stopped broker \(pid \d+\) and its backends: /);
    assert.deepEqual(tool.files(), []);
    for (const place of tool.places()) if (isFallbackDirectory(place)) assert.equal(existsSync(place), false);
  });
}
