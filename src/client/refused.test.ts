import assert from "node:assert/strict";
import { test } from "node:test";
import type { Refused } from "../wire/messages.ts";
import { refusal } from "./refused.ts";

const SPAWN_FAILED = 3;

function refused(details: Record<string, string>, code = SPAWN_FAILED): Refused {
  return {
    code,
    reason: "because",
    serverMinProtocol: 1,
    serverMaxProtocol: 1,
    details,
    retryAfterMs: 1000n,
  } as unknown as Refused;
}

for (const errno of ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
  test(`a launch that failed on a file of the broker's with ${errno} is IO_FAILED with the file, and never tried again`, () => {
    const details = { error: "IO_FAILED", errno, syscall: "write", path: "/run/x.launch" };
    const error = refusal(refused(details));
    assert.equal(error.code, "IO_FAILED");
    assert.deepEqual(error.details, { errno, syscall: "write", path: "/run/x.launch" });
  });

for (const [errno, syscall] of [
  ["EACCES", "bind"],
  ["EPERM", "mkdir"],
  ["EACCES", "rename"],
] as const)
  test(`a launch for which the broker could not make a name (${errno} of ${syscall}) is IO_FAILED`, () => {
    assert.equal(refusal(refused({ error: "IO_FAILED", errno, syscall, path: "/run/x" })).code, "IO_FAILED");
  });

test("another try is advised unless the cause says that it fails again", () => {
  for (const [details, advised] of [
    [{}, true],
    [{ error: "IO_FAILED", errno: "EMFILE", syscall: "socketpair" }, true],
    [{ error: "SPAWN_FAILED", errno: "ENOENT" }, false],
    [{ error: "SPAWN_FAILED", check: "binary_path" }, false],
    [{ error: "PATH_TOO_LONG" }, false],
    [{ error: "constructor" }, true],
  ] as const) {
    const error = refusal(refused(details));
    assert.equal(error.code, "BACKEND_SPAWN_FAILED");
    assert.equal(error.details.retryAfterMs, advised ? 1000 : undefined);
  }
});

for (const [errno, syscall] of [
  ["EMFILE", "open"],
  ["ECONNREFUSED", "connect"],
  ["EACCES", "connect"],
  // Of the program, when it is hashed.
  ["EACCES", "open"],
  ["EPERM", "open"],
  ["EACCES", "stat"],
] as const)
  test(`a launch that failed with ${errno} of ${syscall} is no matter of the broker's files`, () => {
    assert.equal(refusal(refused({ error: "IO_FAILED", errno, syscall })).code, "BACKEND_SPAWN_FAILED");
  });

test("of any other refusal the broker's hint is passed on, and its code is its own", () => {
  const error = refusal(refused({ error: "IO_FAILED", errno: "ENOSPC" }, 4));
  assert.deepEqual([error.code, error.details.retryAfterMs], ["RATE_LIMITED", 1000]);
});
