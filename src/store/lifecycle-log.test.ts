import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hasCode } from "../base/errors.ts";
import type { Files, OpenFile } from "../platform/ports/index.ts";
import { createFiles } from "../platform/posix/files/files.ts";
import { fileLocks } from "../platform/posix/files/locks.ts";
import { createLifecycleLog, type LifecycleLog } from "./lifecycle-log.ts";

interface Setup {
  readonly directory: string;
  readonly path: string;
  open(options?: { maxBytes?: number; files?: Partial<Files>; busy?: boolean }): LifecycleLog;
  /** Lines on record, the older file's first. */
  lines(): string[];
}

function setUp(t: TestContext): Setup {
  const directory = join(mkdtempSync(join(tmpdir(), "ev-")), "logs");
  const open: LifecycleLog[] = [];
  t.after(() => {
    for (const log of open) log.close();
    rmSync(join(directory, ".."), { recursive: true });
  });
  const path = join(directory, "lifecycle.jsonl");
  const text = (file: string): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
  return {
    directory,
    path,
    open({ maxBytes, files, busy } = {}) {
      const platform = {
        files: { ...createFiles(), ...files },
        locks: busy ? { ...fileLocks, tryAcquire: () => undefined } : fileLocks,
      };
      const log = createLifecycleLog({ platform, directory, ...(maxBytes !== undefined && { maxBytes }) });
      open.push(log);
      return log;
    },
    lines: () => (text(`${path}.1`) + text(path)).split("\n").slice(0, -1),
  };
}

test("the first record makes a private directory and file", (t) => {
  const { directory, path, open } = setUp(t);
  const log = open();
  assert.ok(!existsSync(directory));
  log.append("one\n");
  log.append("two\n");
  assert.equal(readFileSync(path, "utf8"), "one\ntwo\n");
  assert.deepEqual([statSync(directory).mode & 0o777, statSync(path).mode & 0o777], [0o700, 0o600]);
});

test("a full file is moved aside, the one before it goes, and no lock is left", (t) => {
  const { directory, path, open, lines } = setUp(t);
  const log = open({ maxBytes: 100 });
  const all = Array.from({ length: 60 }, (_, i) => `record ${String(i).padStart(2, "0")}`);
  for (const line of all) log.append(`${line}\n`);
  const kept = lines();
  assert.deepEqual(kept, all.slice(-kept.length));
  assert.ok(kept.length >= 100 / 10 && kept.length <= (2 * 110) / 10, String(kept.length));
  assert.ok(statSync(`${path}.1`).size <= 110);
  assert.deepEqual(readdirSync(directory), ["lifecycle.jsonl", "lifecycle.jsonl.1"]);
});

test("while somebody else rotates, records go to the file that is there", (t) => {
  const { path, open, lines } = setUp(t);
  const log = open({ maxBytes: 10, busy: true });
  for (let i = 0; i < 10; i++) log.append(`record ${i}\n`);
  assert.equal(lines().length, 10);
  assert.ok(!existsSync(`${path}.1`));
});

test("a file that cannot be rotated stops growing, and the reason is told", (t) => {
  const { path, open } = setUp(t);
  const log = open({ maxBytes: 100 });
  mkdirSync(`${path}.1`, { recursive: true, mode: 0o700 });
  chmodSync(join(path, ".."), 0o700);
  assert.throws(
    () => {
      for (let i = 0; i < 1000; i++) log.append("a record of some length\n");
    },
    (error) => hasCode(error, "IO_FAILED"),
  );
  assert.ok(statSync(path).size <= 500);
});

test("what was renamed or deleted by others is left for the file at the path", (t) => {
  const { directory, path, open } = setUp(t);
  const log = open();
  log.append("one\n");
  renameSync(path, `${path}.1`);
  log.append("two\n");
  assert.deepEqual([readFileSync(`${path}.1`, "utf8"), readFileSync(path, "utf8")], ["one\n", "two\n"]);
  rmSync(directory, { recursive: true });
  log.append("three\n");
  assert.equal(readFileSync(path, "utf8"), "three\n");
});

test("a record that went into a file nobody can find any more is written again", (t) => {
  const { path, open } = setUp(t);
  let hits = 0;
  const files = createFiles();
  // Two rotations by others between the look at the path and the write.
  const replaced = (file: OpenFile): OpenFile => ({
    ...bound(file),
    append(bytes) {
      if (hits++ === 1) rmSync(path);
      return file.append(bytes);
    },
  });
  const log = open({
    files: { open: ((name: string, mode: "append") => replaced(files.open(name, mode))) as Files["open"] },
  });
  log.append("one\n");
  log.append("two\n");
  assert.equal(hits, 3);
  assert.equal(readFileSync(path, "utf8"), "two\n");
});

test("a link, a fifo or an open directory is not written to", async (t) => {
  const { directory, path, open } = setUp(t);
  mkdirSync(directory, { mode: 0o700 });
  symlinkSync(join(directory, "victim"), path);
  assert.throws(
    () => open().append("x\n"),
    (error) => hasCode(error, "IO_FAILED") && error.details.errno === "ELOOP",
  );
  assert.ok(!existsSync(join(directory, "victim")));
  rmSync(path);
  mkdirSync(path);
  assert.throws(
    () => open().append("x\n"),
    (error) => hasCode(error, "IO_FAILED", "FILE_INSECURE"),
  );
  rmSync(path, { recursive: true });
  chmodSync(directory, 0o755);
  assert.throws(
    () => open().append("x\n"),
    (error) => hasCode(error, "DIRECTORY_INSECURE"),
  );
  chmodSync(directory, 0o700);
  open().append("x\n");
});

test("a record that fits only in part is a failure, and the next is a line of its own to readers", (t) => {
  const { path, open } = setUp(t);
  const files = createFiles();
  let room = 3;
  const log = open({
    files: {
      open: ((name: string, mode: "append") => {
        const file = files.open(name, mode);
        return {
          ...bound(file),
          append: (bytes: Uint8Array) => {
            const part = bytes.subarray(0, room);
            room = Number.POSITIVE_INFINITY;
            return file.append(part);
          },
        };
      }) as Files["open"],
    },
  });
  assert.throws(() => log.append("first\n"), /ENOSPC after 3 of 6 bytes/);
  log.append("second\n");
  assert.equal(readFileSync(path, "utf8"), "firsecond\n");
});

function bound(file: OpenFile): OpenFile {
  return {
    facts: () => file.facts(),
    linked: () => file.linked(),
    read: (position, maxBytes) => file.read(position, maxBytes),
    append: (bytes) => file.append(bytes),
    close: () => file.close(),
  };
}
