/** File locks: one holder, whatever happens to the file, and gone with it. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Deadline } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { Received } from "../../src/platform/ports/index.ts";
import { fdOf, receivedOf } from "../../src/platform/posix/descriptors.ts";
import { createManualClock } from "../../src/testing/manual-clock.ts";
import { createPair, openOn } from "../support/peers/pairs.ts";

const { clock, locks } = await loadPlatform();

function lockPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "k"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "lock");
}

/** Another process that runs `script`, in which `locks` and `path` are known; killed when the test is over. */
function runElsewhere(t: TestContext, path: string, script: string): { end(): Promise<void>; said: Promise<string> } {
  const platform = fileURLToPath(new URL("../../dist/platform/platform.js", import.meta.url));
  const start = `
    import { closeSync, openSync, unlinkSync } from "node:fs";
    import { loadPlatform } from ${JSON.stringify(platform)};
    const { locks } = await loadPlatform();
    const path = ${JSON.stringify(path)};`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", start + script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  t.after(end);
  return { end, said: once(child.stdout, "data").then(String) };
}

test("one holder at a time, also within a process; release removes the file and lets the next one in", (t) => {
  const path = lockPath(t);
  const first = locks.tryAcquire(path);
  assert.ok(first !== undefined);
  assert.equal(first.path, path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(locks.tryAcquire(path), undefined);
  first.describe("a longer text\n");
  first.describe("4711\n");
  assert.equal(readFileSync(path, "utf8"), "4711\n");
  first.release();
  first.release();
  assert.deepEqual([existsSync(path), openOn(path)], [false, []]);
  const second = locks.tryAcquire(path);
  assert.ok(second !== undefined);
  first.release();
  assert.equal(locks.tryAcquire(path), undefined, "the first one has no say any more");
  second.release();
});

test("where there is no room for its text the lock holds without, and does not show another's", (t) => {
  const path = lockPath(t);
  writeFileSync(path, "4711\n", { mode: 0o600 });
  const platform = fileURLToPath(new URL("../../dist/platform/platform.js", import.meta.url));
  const script = `
    import { readFileSync } from "node:fs";
    import { loadPlatform } from ${JSON.stringify(platform)};
    const lock = (await loadPlatform()).locks.tryAcquire(${JSON.stringify(path)});
    lock.describe("4712");
    console.log(JSON.stringify([lock.isCurrent(), readFileSync(${JSON.stringify(path)}, "utf8")]));
    lock.release();`;
  // Files may not grow (setrlimit(2), RLIMIT_FSIZE); what is written fails with EFBIG.
  const limited = 'ulimit -f 0; exec "$@"';
  const node = [process.execPath, "--input-type=module", "-e", script];
  const { stdout, stderr } = spawnSync("sh", ["-c", limited, "sh", ...node], { encoding: "utf8" });
  assert.equal(stdout, '[true,""]\n', stderr);
  assert.equal(existsSync(path), false);
});

test("a lock ends with its process, and the file it leaves is taken over", async (t) => {
  const path = lockPath(t);
  const script = `
    console.log(locks.tryAcquire(path) === undefined ? "refused" : "held");
    setInterval(() => {}, 1000);`;
  const other = runElsewhere(t, path, script);
  assert.equal(await other.said, "held\n");
  assert.equal(locks.tryAcquire(path), undefined);
  await other.end();
  assert.ok(existsSync(path));
  const ours = locks.tryAcquire(path);
  assert.ok(ours !== undefined);
  ours.release();
  assert.equal(existsSync(path), false);
});

test("processes that take and release a lock as fast as they can never hold it at once", async (t) => {
  const path = lockPath(t);
  // Each release removes the file, so that others keep opening files that are about to be removed.
  const script = `
    let held = 0;
    let clashes = 0;
    while (held < 1000) {
      const lock = locks.tryAcquire(path);
      if (lock === undefined) continue;
      held++;
      try {
        closeSync(openSync(path + ".inside", "wx"));
        unlinkSync(path + ".inside");
      } catch {
        clashes++;
      }
      lock.release();
    }
    console.log(clashes);`;
  const racers = Array.from({ length: 3 }, () => runElsewhere(t, path, script).said);
  assert.deepEqual(await Promise.all(racers), ["0\n", "0\n", "0\n"]);
});

test("a lock whose file was removed or replaced leaves its successor's file alone", (t) => {
  const path = lockPath(t);
  const first = locks.tryAcquire(path);
  assert.ok(first !== undefined);
  rmSync(path);
  // Nobody can find the first one's file any more, so the name is free.
  const second = locks.tryAcquire(path);
  assert.ok(second !== undefined);
  second.describe("second");
  first.release();
  assert.equal(readFileSync(path, "utf8"), "second");
  assert.equal(locks.tryAcquire(path), undefined);

  writeFileSync(`${path}.new`, "third", { mode: 0o600 });
  renameSync(`${path}.new`, path);
  second.release();
  assert.equal(readFileSync(path, "utf8"), "third");
  const third = locks.tryAcquire(path);
  assert.ok(third !== undefined);
  third.release();
});

test("waiting for a lock ends with the lock or at the deadline", async (t) => {
  const path = lockPath(t);
  const first = locks.tryAcquire(path);
  assert.ok(first !== undefined);
  const waiting = locks.acquire(path, Deadline.after(clock, 60_000));
  first.release();
  const second = await waiting;

  const manual = createManualClock();
  const late = locks.acquire(path, Deadline.after(manual, 5));
  manual.advance(2);
  await new Promise(setImmediate);
  manual.advance(3);
  await assert.rejects(late, (error) => hasCode(error, "DEADLINE_EXCEEDED") && error.details.path === path);

  assert.equal(openOn(path).length, 1, "only the holder has the file open");
  second.release();
});

test("only a regular file of our own is used for a lock", (t) => {
  const path = lockPath(t);
  const elsewhere = join(path, "..", "elsewhere");
  writeFileSync(elsewhere, "precious");
  const rows: [string, () => void, string, RegExp][] = [
    [
      "a link",
      () => symlinkSync(elsewhere, path),
      "FILE_INSECURE",
      /it is a symbolic link, a regular file is expected/,
    ],
    [
      "a dangling link",
      () => symlinkSync(join(path, "..", "nowhere"), path),
      "FILE_INSECURE",
      /it is a symbolic link, a regular file is expected/,
    ],
    ["a directory", () => mkdirSync(path), "IO_FAILED", /EISDIR/],
  ];
  if (process.geteuid?.() === 0) {
    const foreign = (): void => {
      writeFileSync(path, "");
      chownSync(path, 65534, 65534);
    };
    rows.push(["somebody else's file", foreign, "FILE_INSECURE", /it belongs to uid 65534/]);
  }
  for (const [what, make, code, why] of rows) {
    make();
    assert.throws(
      () => locks.tryAcquire(path),
      (error: Error & { code?: string }) => error.code === code && why.test(error.message),
      what,
    );
    assert.deepEqual(openOn(path), [], what);
    rmSync(path, { recursive: true });
  }
  assert.equal(readFileSync(elsewhere, "utf8"), "precious");
  assert.throws(
    () => locks.tryAcquire(join(path, "lock")),
    (error) => hasCode(error, "IO_FAILED") && error.details.errno === "ENOENT",
  );
});

test("a duplicate of a lock is the lock: abandoned by the first holder, it goes on until the second releases it", async (t) => {
  const path = lockPath(t);
  const { near, far, never } = await createPair(t);
  const first = locks.tryAcquire(path);
  assert.ok(first !== undefined);
  // As to another process.
  near.sendWithDescriptor(Buffer.of(1), first.transferable, never);
  const second = locks.adopt(far.receiveNow(1)?.received[0] as Received, path);
  first.abandon();
  assert.equal(locks.tryAcquire(path), undefined);
  second.release();
  assert.equal(existsSync(path), false);
});

test("what is not the lock at the path is not adopted, and closed", (t) => {
  const path = lockPath(t);
  const lock = locks.tryAcquire(path);
  // The same file, opened anew: not the open file that is locked.
  const anew = openSync(path, "r+");
  assert.throws(
    () => locks.adopt(receivedOf(anew), path),
    (error) => hasCode(error, "FILE_INSECURE"),
  );
  const directory = openSync(tmpdir(), "r");
  assert.throws(
    () => locks.adopt(receivedOf(directory), path),
    (error) => hasCode(error, "FILE_INSECURE"),
  );
  assert.deepEqual(openOn(path), [lock && fdOf(lock.transferable)]);
  lock?.release();
});
