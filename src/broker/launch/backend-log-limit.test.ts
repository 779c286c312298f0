/** A backend's log is emptied at its limit, and what is dropped is reported. */

import assert from "node:assert/strict";
import { appendFileSync, readFileSync, statSync, writeSync } from "node:fs";
import test from "node:test";
import { LIMIT, setUp } from "../../../test/broker/support/backend-log.ts";
import type { Transferable } from "../../platform/ports/index.ts";
import { fdOf } from "../../platform/posix/descriptors.ts";

test("a log that reaches its limit is emptied, its older file has what it held, and both stay within the limit", async (t) => {
  const { path, clock, changed, rotated, dropped, open } = setUp(t);
  const log = open();
  const fd = fdOf(log.transferable as Transferable);
  writeSync(fd, "a".repeat(LIMIT - 100));
  changed();
  await rotated();
  assert.deepEqual([statSync(path).size, readFileSync(`${path}.1`, "utf8")], [0, "a".repeat(LIMIT - 100)]);
  writeSync(fd, "b\n".repeat(50_000));
  clock.advance(20);
  await rotated();
  assert.equal(statSync(path).size, 0);
  assert.match(readFileSync(`${path}.1`, "utf8"), /^\[rpb: \d+ bytes dropped\]\n(b\n)+$/);
  assert.ok(statSync(`${path}.1`).size <= LIMIT);
  writeSync(fd, "after\n");
  assert.equal(readFileSync(path, "utf8"), "after\n");
  // What was said before that is still part of this launch.
  assert.match(log.tail(), /^(b\n)+after$/);
  assert.equal(dropped.length, 0);
  clock.advance(10_000);
  assert.deepEqual(
    dropped.map(({ bytes, fault }) => [bytes > 95_000, fault]),
    [[true, undefined]],
  );
});

test("what was dropped since the last report is told at the end", async (t) => {
  const { changed, rotated, dropped, open } = setUp(t);
  const log = open();
  writeSync(fdOf(log.transferable as Transferable), "b\n".repeat(50_000));
  changed();
  await rotated();
  log.close();
  assert.equal(dropped.length, 1);
  await rotated();
  assert.equal(dropped.length, 1);
});

test("a log that is too large from an earlier launch is emptied; its words are not those of this launch", async (t) => {
  const { path, rotated, open } = setUp(t);
  appendFileSync(path, "old\n".repeat(5000));
  const log = open();
  await rotated();
  assert.equal(statSync(path).size, 0);
  assert.equal(log.tail(), "");
  writeSync(fdOf(log.transferable as Transferable), "new\n");
  assert.equal(log.tail(), "new");
});

// What had come by the time of the next look was taken for what the rotation had left.
test("what fills a log right after it was emptied is seen", async (t) => {
  const { path, clock, changed, rotated, afterRotation, open } = setUp(t);
  const log = open();
  const fd = fdOf(log.transferable as Transferable);
  afterRotation(() => {
    afterRotation(() => {});
    writeSync(fd, "b".repeat(3 * LIMIT));
  });
  writeSync(fd, "a".repeat(LIMIT));
  changed();
  await rotated();
  assert.equal(statSync(path).size, 3 * LIMIT);
  clock.advance(20);
  await rotated();
  assert.equal(statSync(path).size, 0);
});

// The broker would not look at it any more before the next launch of this version.
test("the output of a backend that floods and ends is brought within the limit after its end", async (t) => {
  const { path, rotated, dropped, open } = setUp(t);
  const log = open();
  writeSync(fdOf(log.transferable as Transferable), `${"c\n".repeat(50_000)}the end\n`);
  log.close();
  assert.match(log.tail(), /c\nthe end$/);
  await rotated();
  assert.equal(statSync(path).size, 0);
  assert.match(readFileSync(`${path}.1`, "utf8"), /c\nthe end\n$/);
  assert.equal(dropped.length, 1);
  assert.throws(() => writeSync(fdOf(log.transferable as Transferable), "x"), { code: "EBADF" });
});

/** Guards against a copy of the whole limit at every look, four times a second and more. */
test("a log that cannot be emptied is copied again only when a whole limit of new output has come", async (t) => {
  const { clock, open, changed, rotated, rotations, stick } = setUp(t);
  const log = open();
  stick();
  const write = async (bytes: number): Promise<void> => {
    writeSync(fdOf(log.transferable as Transferable), "x".repeat(bytes));
    changed();
    clock.advance(1_000);
    await rotated();
    clock.advance(1_000);
    await rotated();
  };
  await write(LIMIT);
  assert.equal(rotations(), 1);
  for (let i = 0; i < 7; i++) await write(LIMIT / 8);
  assert.equal(rotations(), 1);
  await write(LIMIT / 8);
  assert.equal(rotations(), 2);
});
