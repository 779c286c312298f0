import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BrokerError } from "../base/errors.ts";
import type { LogFile, LogRotation } from "../platform/ports/index.ts";
import { createFiles } from "../platform/posix/files/files.ts";
import { createOwnLog, type OwnLog } from "./own-log.ts";

const LIMIT = 64 * 1024;

/** A real file; `full`: nothing can be written to it; `stuck`: it cannot be emptied. */
function setUp(
  t: TestContext,
  state: { full?: boolean; stuck?: boolean } = {},
): {
  path: string;
  log: OwnLog;
  rotated(): Promise<void>;
  rotations(): number;
} {
  const directory = mkdtempSync(join(tmpdir(), "own-"));
  const path = join(directory, "broker.log");
  const file = createFiles().openLog(path);
  const rotations: Promise<LogRotation>[] = [];
  const watched: LogFile = {
    transferable: file.transferable,
    size: () => file.size(),
    append: (text) => {
      if (state.full) throw new BrokerError("IO_FAILED", "write failed: ENOSPC");
      file.append(text);
    },
    mark: () => file.mark(),
    words: (maxBytes) => file.words(maxBytes),
    watch: () => undefined,
    close: () => file.close(),
    rotate: (keepBytes) => {
      const fault = new BrokerError("IO_FAILED", "ftruncate failed: EPERM");
      const rotation = state.stuck
        ? Promise.resolve({ droppedBytes: 0, emptied: false, fault })
        : file.rotate(keepBytes);
      rotations.push(rotation);
      return rotation;
    },
  };
  const log = createOwnLog(watched, LIMIT);
  t.after(() => {
    file.close();
    rmSync(directory, { recursive: true });
  });
  return {
    path,
    log,
    rotations: () => rotations.length,
    rotated: async () => {
      await Promise.all(rotations);
    },
  };
}

test("a log and its older file stay within the limit however much is written, and what was dropped is counted", async (t) => {
  const { path, log, rotated } = setUp(t);
  const line = (i: number): string => `line ${String(i).padStart(7, "0")}\n`;
  let written = 0;
  for (let i = 0; i < 60_000; i++) {
    log.write(line(i));
    written += line(i).length;
    if (i % 1000 === 999) await new Promise(setImmediate);
    assert.ok(statSync(path).size <= LIMIT);
  }
  await rotated();
  log.write("the end\n");
  written += "the end\n".length;
  const text = readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8");
  assert.ok(statSync(`${path}.1`).size <= LIMIT);
  assert.match(text, /the end\n$/);
  assert.ok(written > 10 * LIMIT);
});

test("lines that find no room while the log is emptied are dropped and counted; all others are there in order", async (t) => {
  const { path, log, rotated } = setUp(t);
  const lines = Array.from({ length: 6000 }, (_, i) => `line ${String(i).padStart(7, "0")}\n`);
  // In one turn: the rotation that begins meanwhile cannot end.
  for (const line of lines) log.write(line);
  await rotated();
  log.write("after\n");
  const older = readFileSync(`${path}.1`, "utf8");
  const current = readFileSync(path, "utf8");
  assert.ok(lines.join("").startsWith(older));
  assert.equal(current, `[rpb: ${lines.join("").length - older.length} bytes dropped]\nafter\n`);
});

test("what other processes write to it counts", async (t) => {
  const { path, log, rotated } = setUp(t);
  appendFileSync(path, "s".repeat(LIMIT));
  log.write("ours\n");
  await rotated();
  assert.ok(statSync(path).size < 1000);
  assert.match(readFileSync(`${path}.1`, "utf8"), /ours\n$/);
});

test("what cannot be written is no fault of the caller's, and is counted once it can be again", (t) => {
  const state = { full: false };
  const { path, log } = setUp(t, state);
  log.write("before\n");
  state.full = true;
  log.write("lost\n");
  log.write("lost as well\n");
  state.full = false;
  log.write("after\n");
  assert.equal(readFileSync(path, "utf8"), "before\n[rpb: 18 bytes dropped]\nafter\n");
});

/** Guards against a copy of the whole limit for each eighth of it that is written, and at every write that fails. */
test("a log that cannot be emptied is copied again only when a whole limit of new lines has come", async (t) => {
  const state = { full: false, stuck: true };
  const { log, rotated, rotations } = setUp(t, state);
  const write = async (bytes: number): Promise<void> => {
    for (let i = 0; i < bytes / 64; i++) {
      log.write(`${"x".repeat(63)}\n`);
      if (i % 100 === 0) await rotated();
    }
    await rotated();
  };
  await write(LIMIT * 1.5);
  assert.equal(rotations(), 1);
  await write(LIMIT);
  assert.equal(rotations(), 2);
  state.full = true;
  await write(LIMIT);
  // Once more: what has come since the last attempt is all that can be saved.
  assert.equal(rotations(), 3);
});
