import assert from "node:assert/strict";
import test from "node:test";
import type { Files } from "../platform/ports.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { watchBinary } from "./binary-watch.ts";

const SHA256 = Buffer.alloc(32, 1);
const FACTS = { kind: "file", dev: 1n, ino: 2n, mtimeNs: 3n, size: 4n, uid: 0, mode: 0o755 } as const;

/** Files whose hash is there when a test says so; `open` counts watches that nobody has closed. */
function setUp() {
  const watches = { open: 0 };
  let finishHash: () => void = () => {};
  const hashed = new Promise<Buffer>((resolve) => {
    finishHash = () => resolve(SHA256);
  });
  const files: Pick<Files, "facts" | "realpath" | "sha256Executable" | "watch"> = {
    facts: () => FACTS,
    realpath: (path) => path,
    sha256Executable: () => hashed,
    watch() {
      watches.open++;
      return { close: () => void watches.open-- };
    },
  };
  const clock = createManualClock();
  const platform = { clock, files: files as Files };
  return { platform, clock, watches, finishHash };
}

test("a watch that is closed while the binary is being hashed leaves nothing behind", async () => {
  const { platform, clock, watches, finishHash } = setUp();
  const watch = watchBinary(platform, { path: "/opt/x/bin/d", sha256: SHA256 }, () => assert.fail("not replaced"));
  assert.equal(watches.open, 2);
  watch.close();
  finishHash();
  await new Promise(setImmediate);
  assert.deepEqual({ watches: watches.open, timers: clock.pendingTimers }, { watches: 0, timers: 0 });
});

test("after a look that found the same content it goes on watching, until it is closed", async () => {
  const { platform, clock, watches, finishHash } = setUp();
  const watch = watchBinary(platform, { path: "/opt/x/bin/d", sha256: SHA256 }, () => assert.fail("not replaced"));
  finishHash();
  await new Promise(setImmediate);
  assert.deepEqual({ watches: watches.open, timers: clock.pendingTimers }, { watches: 2, timers: 1 });
  watch.close();
  assert.deepEqual({ watches: watches.open, timers: clock.pendingTimers }, { watches: 0, timers: 0 });
});
