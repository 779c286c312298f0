/** The tail of a backend's log, and when the broker looks at the file. */

import assert from "node:assert/strict";
import { appendFileSync, chmodSync, existsSync, readFileSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { LIMIT, setUp } from "../../../test/broker/support/backend-log.ts";
import type { Transferable } from "../../platform/ports/index.ts";
import { fdOf } from "../../platform/posix/descriptors.ts";

test("the tail is what was written since the launch, whole lines, bounded", (t) => {
  const { path, open } = setUp(t);
  appendFileSync(path, "of an earlier launch\n");
  const log = open(1_000_000);
  assert.equal(log.tail(), "");
  writeSync(fdOf(log.transferable as Transferable), "first\nsecond\n");
  assert.equal(log.tail(), "first\nsecond");
  writeSync(fdOf(log.transferable as Transferable), `${"x".repeat(3000)}\n${"y".repeat(3000)}\nlast`);
  assert.equal(log.tail(), `${"y".repeat(3000)}\nlast`);
  log.close();
  assert.equal(log.tail(), `${"y".repeat(3000)}\nlast`);
});

test("a quiet log is watched and costs no look; a change that is no writing is over with one", (t) => {
  const { clock, changed, watches, looks, open } = setUp(t);
  open();
  const before = looks();
  clock.advance(3_600_000);
  assert.deepEqual([looks() - before, clock.pendingTimers, watches()], [0, 0, 1]);
  changed();
  assert.deepEqual([clock.pendingTimers, watches()], [0, 1]);
});

test("a log that is written to is looked at after rests, and watched again when nothing new has come", (t) => {
  const { clock, changed, watches, open } = setUp(t);
  const log = open();
  writeSync(fdOf(log.transferable as Transferable), "a");
  changed();
  // Every write would be told while it is watched.
  assert.equal(watches(), 0);
  clock.advance(20);
  assert.deepEqual([watches(), clock.pendingTimers], [1, 0]);
});

test("who writes little and often is looked at four times a second, who comes near the limit at once", async (t) => {
  const { clock, changed, watches, looks, rotated, open } = setUp(t);
  const log = open(1_000_000);
  const fd = fdOf(log.transferable as Transferable);
  for (let i = 0; i < 500; i++) {
    writeSync(fd, "a line\n");
    if (watches() > 0) changed();
    clock.advance(10);
  }
  const before = looks();
  for (let i = 0; i < 500; i++) {
    writeSync(fd, "a line\n");
    if (watches() > 0) changed();
    clock.advance(10);
  }
  assert.ok(looks() - before <= 40, `${looks() - before} looks in five seconds`);
  // Half the limit in each rest from here on.
  const fast = looks();
  for (let i = 0; i < 50; i++) {
    writeSync(fd, "x".repeat(200_000));
    clock.advance(10);
    await rotated();
  }
  assert.ok(looks() - fast >= 20, `${looks() - fast} looks in half a second`);
});

// A process that cannot get an inotify watch (fs.inotify.max_user_instances) had unbounded logs.
test("where the system watches nothing, a log is looked at once a second and bounded all the same", async (t) => {
  const { path, clock, rotated, open } = setUp(t, false);
  const log = open();
  clock.advance(5_000);
  writeSync(fdOf(log.transferable as Transferable), "a".repeat(3 * LIMIT));
  clock.advance(1_000);
  await rotated();
  assert.ok(statSync(path).size <= LIMIT && statSync(`${path}.1`).size <= LIMIT);
});

test("a closed log is neither watched nor looked at any more, and its descriptor is closed once", (t) => {
  const { path, clock, changed, watches, open } = setUp(t);
  const log = open();
  writeSync(fdOf(log.transferable as Transferable), "a");
  changed();
  log.close();
  const another = open();
  // Another file has that number now; it must stay open.
  log.close();
  writeSync(fdOf(another.transferable as Transferable), "b");
  another.close();
  appendFileSync(path, "b".repeat(5000));
  changed();
  clock.advance(10_000);
  assert.deepEqual([watches(), clock.pendingTimers], [0, 0]);
  assert.equal(readFileSync(path, "utf8").length, 5002);
  assert.throws(() => writeSync(fdOf(another.transferable as Transferable), "x"), { code: "EBADF" });
});

test("a log that another process looks after from now on is left as it is", (t) => {
  const { path, watches, open } = setUp(t);
  const log = open();
  writeSync(fdOf(log.transferable as Transferable), "d".repeat(3 * LIMIT));
  log.letGo();
  assert.deepEqual([watches(), statSync(path).size, existsSync(`${path}.1`)], [0, 3 * LIMIT, false]);
  assert.throws(() => writeSync(fdOf(log.transferable as Transferable), "x"), { code: "EBADF" });
});

test("a log that cannot be opened says why and is empty", (t) => {
  const { path, open } = setUp(t);
  chmodSync(join(path, ".."), 0o755);
  const log = open();
  assert.equal(log.transferable, undefined);
  assert.match(log.fault ?? "", /insecure permissions 0755/);
  assert.equal(log.tail(), "");
  log.close();
  assert.equal(existsSync(path), false);
});
