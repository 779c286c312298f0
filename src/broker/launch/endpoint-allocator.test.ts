import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { type TestContext } from "node:test";
import { hasCode } from "../../base/errors.ts";
import type { Host } from "../../platform/ports/index.ts";
import { createFiles } from "../../platform/posix/files/files.ts";
import { createEndpointAllocator, type EndpointAllocator } from "./endpoint-allocator.ts";

interface Setup {
  readonly directory: string;
  allocator(bytes?: readonly number[]): EndpointAllocator;
}

/** `bytes`: what the random source gives, each for one name; the last one again and again. */
function setUp(t: TestContext): Setup {
  const runtime = mkdtempSync(`${tmpdir()}/`);
  t.after(() => rmSync(runtime, { recursive: true }));
  return {
    directory: join(runtime, "running-process/broker"),
    allocator(bytes = []) {
      let calls = 0;
      const host = {
        userHash: () => "deadbeefdeadbeef",
        randomBytes: (length: number) => Buffer.alloc(length, bytes[Math.min(calls++, bytes.length - 1)] ?? calls),
      } as unknown as Host;
      return createEndpointAllocator(
        { files: createFiles(), host },
        { os: "linux", env: { XDG_RUNTIME_DIR: runtime }, uid: 0, home: "" },
      );
    },
  };
}

const leaf = (hex: string): string => `rpb-v1-deadbeefdeadbeef-be-${hex.repeat(16)}.sock`;

test("a path is made of the user's hash and sixteen random bytes, in a private directory that exists", (t) => {
  const { directory, allocator } = setUp(t);
  const path = allocator([0xab]).allocate();
  assert.equal(path, join(directory, leaf("ab")));
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
});

test("a path that is in use is passed over, and free again once it was given back", (t) => {
  const { directory, allocator } = setUp(t);
  const allocate = allocator([1, 1, 2, 1, 1]);
  assert.equal(allocate.allocate(), join(directory, leaf("01")));
  assert.equal(allocate.allocate(), join(directory, leaf("02")));
  allocate.release(join(directory, leaf("01")));
  assert.equal(allocate.allocate(), join(directory, leaf("01")));
});

test("a path where something lies already is passed over", (t) => {
  const { directory, allocator } = setUp(t);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, leaf("01")), "");
  assert.equal(allocator([1, 2]).allocate(), join(directory, leaf("02")));
});

test("sixteen collisions are the end of it, and nothing is taken", (t) => {
  const { directory, allocator } = setUp(t);
  const stuck = allocator([1]);
  assert.equal(stuck.allocate(), join(directory, leaf("01")));
  assert.throws(
    () => stuck.allocate(),
    (error) => hasCode(error, "SPAWN_FAILED") && /collisions exhausted after 16/.test(error.message),
  );
  stuck.release(join(directory, leaf("01")));
  assert.equal(stuck.allocate(), join(directory, leaf("01")));
});

test("a directory that others can look into is not used", (t) => {
  const { directory, allocator } = setUp(t);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  assert.throws(
    () => allocator().allocate(),
    (error) => hasCode(error, "DIRECTORY_INSECURE"),
  );
});
