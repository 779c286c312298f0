import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import test from "node:test";
import { loadPlatform } from "../../platform/platform.ts";
import type { Files } from "../../platform/ports/index.ts";
import { ownerOf } from "../../platform/posix/user.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import { watchBinary } from "./binary-watch.ts";

const SHA256 = Buffer.alloc(32, 1);
const FACTS = { kind: "file", dev: 1n, ino: 2n, mtimeNs: 3n, size: 4n, owner: ownerOf(0), mode: 0o755 } as const;

/** Files whose hash is there when a test says so; `open` counts watches that nobody has closed. */
function setUp() {
  const watches = { open: 0 };
  let finishHash: () => void = () => {};
  const hashed = new Promise<Buffer>((resolve) => {
    finishHash = () => resolve(SHA256);
  });
  const files: Pick<Files, "facts" | "paths" | "realpath" | "sha256Executable" | "watch"> = {
    facts: () => FACTS,
    paths: posix,
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

test("after a look that found the same content it goes on watching without a timer, until it is closed", async () => {
  const { platform, clock, watches, finishHash } = setUp();
  const watch = watchBinary(platform, { path: "/opt/x/bin/d", sha256: SHA256 }, () => assert.fail("not replaced"));
  finishHash();
  await new Promise(setImmediate);
  assert.deepEqual({ watches: watches.open, timers: clock.pendingTimers }, { watches: 2, timers: 0 });
  watch.close();
  assert.deepEqual({ watches: watches.open, timers: clock.pendingTimers }, { watches: 0, timers: 0 });
});

test("it looks again when the backend is used, once in five seconds", async () => {
  const { platform, clock, finishHash } = setUp();
  let looks = 0;
  const realpath = (path: string): string => {
    looks++;
    return path;
  };
  const files: Files = { ...platform.files, realpath };
  const watch = watchBinary({ clock, files }, { path: "/opt/x/bin/d", sha256: SHA256 }, () =>
    assert.fail("not replaced"),
  );
  finishHash();
  await new Promise(setImmediate);
  const atFirst = looks;
  clock.advance(4_999);
  watch.used();
  assert.equal(looks, atFirst);
  clock.advance(1);
  watch.used();
  watch.used();
  assert.equal(looks, atFirst + 1);
  await new Promise(setImmediate);
  watch.close();
  clock.advance(5_000);
  watch.used();
  assert.equal(looks, atFirst + 1);
});

test("a link in the middle of the path that leads elsewhere is found when the backend is used", async () => {
  const { platform, clock } = setUp();
  let place = "one";
  const files: Files = {
    ...platform.files,
    realpath: () => `/opt/${place}/d`,
    facts: (path) => ({ ...FACTS, ino: path.includes("one") ? 1n : 2n }),
    sha256Executable: async (path) => (path.includes("one") ? SHA256 : Buffer.alloc(32, 2)),
  };
  let replaced = 0;
  const watch = watchBinary({ clock, files }, { path: "/opt/current/d", sha256: SHA256 }, () => void replaced++);
  await new Promise(setImmediate);
  place = "two";
  clock.advance(5_000);
  watch.used();
  await new Promise(setImmediate);
  // It may still be being written; the next look decides.
  assert.equal(replaced, 0);
  clock.advance(100);
  await new Promise(setImmediate);
  assert.equal(replaced, 1);
});

test("a replacement that nobody is told about, because one watch takes the place of another, is noticed", {
  timeout: 20_000,
}, async (t) => {
  const real = await loadPlatform();
  const directory = mkdtempSync(join(tmpdir(), "rpbw-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "binary");
  writeFileSync(path, "one");
  const sha256 = await real.files.sha256Executable(path);
  let hashes = 0;
  const files: Files = {
    ...real.files,
    async sha256Executable(of) {
      const hash = await real.files.sha256Executable(of);
      if (++hashes > 1) return hash;
      // Between the end of the first look and the new watch: the event loop has no turn to read what the kernel tells.
      writeFileSync(`${path}.new`, "two");
      renameSync(`${path}.new`, path);
      return hash;
    },
  };
  // The watch alone keeps nothing alive.
  const alive = setInterval(() => {}, 1000);
  t.after(() => clearInterval(alive));
  await new Promise<void>((resolve) => {
    const watch = watchBinary({ clock: real.clock, files }, { path, sha256 }, resolve);
    t.after(() => watch.close());
  });
});
