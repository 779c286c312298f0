import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";

const { endpoints, transport } = await loadPlatform();

test("an endpoint is there from its listener on until it is removed, whether anything listens or not", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "endpoints-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "s");
  assert.deepEqual([endpoints.exists(path), endpoints.find(path), endpoints.remove(path)], [false, undefined, false]);

  const listener = transport.listen(path);
  const found = endpoints.find(path);
  assert.equal(found?.kind, "socket");
  listener.close();
  assert.ok(endpoints.exists(path));
  assert.ok(endpoints.isSame(path, found));

  assert.ok(endpoints.remove(path));
  assert.ok(!existsSync(path));
  assert.ok(!endpoints.isSame(path, found));
  assert.ok(!endpoints.isSame(path, undefined));
});

test("what is no endpoint is found as what it is", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "endpoints-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "file");
  writeFileSync(path, "");
  assert.equal(endpoints.exists(path), false);
  assert.equal(endpoints.find(path)?.kind, "file");
});
