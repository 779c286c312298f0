/** Guards against lines that are lost uncounted when a log is emptied while another process appends to it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setUpLog } from "../../../../test/platform/support/log.ts";
import { MAX_NOTE_BYTES } from "../../../model/dropped-note.ts";
import { collapseHead } from "../../linux/collapse.ts";
import { cutLog } from "./cut-log.ts";

const LINE_BYTES = 100;
const NOTE = /\[rpb: (\d+) bytes dropped\]\n/g;

/** Numbered lines on standard output, `perWrite` at once; `perTick`: so many writes, then a rest until the next millisecond. */
const WRITER = `
import os, sys, time
count, per_write, per_tick = map(int, sys.argv[1:])
due = time.monotonic()
for first in range(0, count, per_write):
    os.write(1, b"".join(b"%099d\\n" % n for n in range(first, min(count, first + per_write))))
    if per_tick and (first // per_write) % per_tick == per_tick - 1:
        due += 0.001
        time.sleep(max(0, due - time.monotonic()))
`;

interface Collected {
  /** How often each line is in one of the files. */
  readonly seen: Uint8Array;
  /** In none of the files. */
  readonly missingBytes: number;
  /** Of all notes. */
  readonly notedBytes: number;
  /** Told by the rotations. */
  readonly droppedBytes: number;
  readonly rotations: number;
}

/** Rotates the writer's log as a broker does and keeps what each older file held. */
async function collect(
  t: TestContext,
  { keepBytes, fullBytes }: { keepBytes: number; fullBytes: number },
  [count, perWrite, perTick]: readonly [number, number, number],
  parent?: string,
): Promise<Collected> {
  const { path, open } = setUpLog(t, { parent });
  const log = open();
  const args = [count, perWrite, perTick].map(String);
  const writer = spawn("python3", ["-c", WRITER, ...args], { stdio: ["ignore", log.fd, "inherit"] });
  let over = false;
  const ended = once(writer, "close").then(([code]) => {
    over = true;
    assert.equal(code, 0);
  });
  const parts: Buffer[] = [];
  let droppedBytes = 0;
  let rotations = 0;
  while (!over) {
    await new Promise(setImmediate);
    if (log.size() < fullBytes) continue;
    const { emptied, fault, droppedBytes: dropped } = await log.rotate(keepBytes);
    assert.deepEqual([emptied, fault], [true, undefined]);
    assert.ok(statSync(`${path}.1`).size <= keepBytes);
    parts.push(readFileSync(`${path}.1`));
    droppedBytes += dropped;
    rotations++;
  }
  await ended;
  if (existsSync(path)) parts.push(readFileSync(path));
  const all = Buffer.concat(parts).toString("latin1");
  const notedBytes = [...all.matchAll(NOTE)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  const text = all.replaceAll(NOTE, "");
  const seen = new Uint8Array(count);
  // A line that was cut, next to a gap, is no whole line of either length.
  for (const [, line] of text.matchAll(/(?<=^|\n)(\d{99})(?=\n)/g)) seen[Number(line)] = (seen[Number(line)] ?? 0) + 1;
  return { seen, missingBytes: count * LINE_BYTES - text.length, notedBytes, droppedBytes, rotations };
}

/** On tmpfs, which every Linux has there, no head can be taken away alone. */
const WITHOUT_COLLAPSE = "/dev/shm";
const ORDINARY = [36_000, 1, 12] as const;
const FLOOD = [1_000_000, 40, 0] as const;

for (const [kind, settings, writer] of [
  ["of 12000 lines a second", { keepBytes: 2 ** 20, fullBytes: 2 ** 16 }, ORDINARY],
  ["that does not pause", { keepBytes: 2 ** 16, fullBytes: 2 ** 15 }, FLOOD],
] as const) {
  test(`of a writer ${kind} every byte is there once or told as dropped`, async (t) => {
    if (!(await canCollapse())) return t.skip("needs a file system that can take a file's head away: ext4, XFS");
    const { seen, missingBytes, notedBytes, droppedBytes, rotations } = await collect(t, settings, writer);
    t.diagnostic(`${missingBytes} bytes missing, ${droppedBytes} told, ${rotations} rotations`);
    assert.ok(rotations > 5, `${rotations} rotations`);
    assert.ok(!seen.some((times) => times > 1), "a line is there twice");
    // A note may have been dropped itself, and is counted as what is dropped with it.
    assert.ok(missingBytes <= droppedBytes && droppedBytes - missingBytes < rotations * MAX_NOTE_BYTES);
    assert.ok(notedBytes <= droppedBytes);
    if (writer === ORDINARY) assert.deepEqual([missingBytes, seen.filter((times) => times === 0).length], [0, 0]);
  });
}

test("where a file can only be cut, what is missing is told but for what came between two calls", async (t) => {
  const settings = { keepBytes: 2 ** 16, fullBytes: 2 ** 15 };
  const { seen, missingBytes, notedBytes, droppedBytes, rotations } = await collect(
    t,
    settings,
    FLOOD,
    WITHOUT_COLLAPSE,
  );
  t.diagnostic(`${missingBytes} bytes missing, ${droppedBytes} told, ${rotations} rotations`);
  assert.ok(rotations > 5, `${rotations} rotations`);
  assert.ok(!seen.some((times) => times > 1), "a line is there twice");
  assert.ok(notedBytes <= droppedBytes && droppedBytes > 0.9 * missingBytes);
});

async function canCollapse(): Promise<boolean> {
  const path = join(tmpdir(), `collapse-${process.pid}`);
  writeFileSync(path, Buffer.alloc(100_000));
  const fd = openSync(path, "r+");
  try {
    return await collapseHead(fd, 65_536);
  } finally {
    closeSync(fd);
    rmSync(path);
  }
}

test("an end that finds no room after the cut is gone, and the log is emptied all the same", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  const end = Buffer.from("the end of it\n");
  writeSync(log.fd, Buffer.concat([Buffer.alloc(10_000, "x"), end]));
  // An end that cannot be written, whatever the reason, is made by a descriptor that is for reading.
  const cut = await cutLog(log.fd, { from: 10_000, bytes: end }, 4096, (kept, unread) => {
    assert.deepEqual([statSync(path).size, kept.bytes.toString(), unread], [0, "the end of it\n", 0]);
    closeSync(log.fd);
    assert.equal(openSync(path, "r"), log.fd);
    return kept.bytes;
  });
  assert.equal((cut?.fault as NodeJS.ErrnoException | undefined)?.code, "EBADF");
  assert.deepEqual([cut?.writtenBytes, cut?.kept.from, statSync(path).size], [0, 10_000, 0]);
});
