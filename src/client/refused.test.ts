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

const LAUNCHES: readonly [details: Record<string, string>, advised: boolean, why: string][] = [
  [{}, true, "a broker of another make says no more"],
  [{ error: "SOMETHING_NEW" }, true, "a newer one says what is not known here"],
  [{ error: "constructor" }, true, "what is no code"],
  [{ error: "IO_FAILED", errno: "EMFILE", syscall: "socketpair" }, true, "descriptors come back"],
  [{ error: "IO_FAILED", errno: "ECONNREFUSED", syscall: "connect" }, true, "the backend may listen by then"],
  [{ error: "PROCESS_EXITED", exit: "status 1" }, true, "it may live longer the next time"],
  [{ error: "SPAWN_FAILED", errno: "EAGAIN" }, true, "there may be fewer processes"],
  [{ error: "SPAWN_FAILED", errno: "ENOENT" }, false, "there is no such program"],
  [{ error: "SPAWN_FAILED", errno: "ENOEXEC" }, false, "it is no program"],
  [{ error: "SPAWN_FAILED", path: "/opt/x" }, false, "it may not be run"],
  [{ error: "PATH_TOO_LONG" }, false, "its address does not fit"],
  [{ error: "IDENTITY_MISMATCH", check: "exe_path" }, false, "it is not the program that was meant"],
];

for (const [details, advised, why] of LAUNCHES)
  test(`another try is ${advised ? "" : "not "}advised: ${why} (${JSON.stringify(details)})`, () => {
    const error = refusal(refused(details));
    assert.equal(error.code, "BACKEND_SPAWN_FAILED");
    assert.equal(error.details.retryAfterMs, advised ? 1000 : undefined);
  });

test("of any other refusal the broker's hint is passed on, and its code is its own", () => {
  const error = refusal(refused({ error: "IO_FAILED", errno: "ENOSPC" }, 4));
  assert.deepEqual([error.code, error.details.retryAfterMs], ["RATE_LIMITED", 1000]);
});
