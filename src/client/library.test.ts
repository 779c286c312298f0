import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LIBRARY_NAME, LIBRARY_VERSION } from "./library.ts";

test("the library names itself as its package does", () => {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as Record<
    string,
    unknown
  >;
  assert.deepEqual([LIBRARY_NAME, LIBRARY_VERSION], [manifest.name, manifest.version]);
});
