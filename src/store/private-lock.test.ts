import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { loadPlatform } from "../platform/platform.ts";
import type { Platform } from "../platform/ports/index.ts";
import { takePrivateLock } from "./private-lock.ts";

/** The real ports; `ensured` counts, and `made` runs after each directory that was made sure of. */
async function setUp(t: TestContext, made: (path: string) => void = () => {}) {
  const root = mkdtempSync(join(tmpdir(), "pl-"));
  t.after(() => rmSync(root, { recursive: true }));
  const { files, locks } = await loadPlatform();
  let ensured = 0;
  const ports = {
    locks,
    files: {
      ...files,
      ensurePrivateDirectory: (path: string) => {
        ensured += 1;
        files.ensurePrivateDirectory(path);
        made(path);
      },
    } satisfies Platform["files"],
  };
  return { path: join(root, "run", "b.lock"), ports, ensured: () => ensured };
}

test("a lock that another process holds costs no check of its directory, however often it is asked for", async (t) => {
  const { path, ports, ensured } = await setUp(t);
  const held = takePrivateLock(ports, path);
  assert.equal(ensured(), 1);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  for (let poll = 0; poll < 10; poll++) assert.equal(takePrivateLock(ports, path), undefined);
  assert.equal(ensured(), 1);
  held?.release();
  takePrivateLock(ports, path)?.release();
  assert.equal(ensured(), 1);
});

test("a directory that vanishes again and again is made until there is a lock in it, or twenty times", async (t) => {
  let left = 5;
  const { path, ports, ensured } = await setUp(t, (directory) => {
    if (left-- > 0) rmdirSync(directory);
  });
  takePrivateLock(ports, path)?.release();
  assert.equal(ensured(), 6);
  rmdirSync(dirname(path));
  left = Number.POSITIVE_INFINITY;
  assert.throws(() => takePrivateLock(ports, path), { code: "IO_FAILED" });
  assert.equal(existsSync(dirname(path)), false);
});
