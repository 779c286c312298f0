/** Modes of new directories, files and sockets under any umask, and while another process still sets them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { Deadline } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform, systemClock } from "../../src/platform/platform.ts";
import { asOrdinaryUser, directory, temporary } from "./support/directories.ts";

for (const umask of [0o000, 0o022, 0o077, 0o177, 0o277, 0o777]) {
  const name = umask.toString(8).padStart(3, "0");

  test(`missing directories are made with mode 700 under umask ${name}, parents too; checking makes none`, (t) => {
    const base = temporary(t);
    const as = asOrdinaryUser(t, base);
    setUmask(t, umask);
    const path = join(base, "a/b/c");
    assert.equal(as.checkPrivateDirectory(path), false);
    assert.equal(existsSync(join(base, "a")), false);
    as.ensurePrivateDirectory(path);
    for (const part of ["a", "a/b", "a/b/c"]) assert.equal(statSync(join(base, part)).mode & 0o7777, 0o700, part);
    as.ensurePrivateDirectory(path);
  });

  test(`files, locks, logs and sockets are made with mode 600 under umask ${name}, and can be used again`, async (t) => {
    const base = temporary(t);
    const as = asOrdinaryUser(t, base);
    const { locks, transport } = await loadPlatform();
    setUmask(t, umask);
    const at = (name: string): string => join(base, name);
    as.writeAtomic(at("atomic"), Buffer.from("text"));
    as.writeAtomic(at("atomic"), Buffer.from("again"));
    assert.equal(as.read(at("atomic"), 100)?.bytes.toString(), "again");
    const lock = locks.tryAcquire(at("lock"));
    assert.equal(locks.tryAcquire(at("lock")), undefined);
    for (let again = 0; again < 2; again++) {
      const log = as.openLog(at("log"));
      log.append("more than is kept\n".repeat(1000));
      if (again > 0) await log.rotate(100);
      log.close();
      const file = as.open(at("appended"), "append");
      file.append(Buffer.from("line\n"));
      file.close();
    }
    const listener = transport.listen(at("socket"));
    const client = await transport.connect(at("socket"), Deadline.never(systemClock));
    client.close();
    for (const name of readdirSync(base)) assert.equal(statSync(at(name)).mode & 0o7777, 0o600, name);
    assert.deepEqual(readdirSync(base), ["appended", "atomic", "lock", "log", "log.1", "socket"]);
    listener.close();
    lock?.release();
  });
}

test("a directory that is being made under an odd umask is waited for, one that stays unusable is refused", async (t) => {
  const base = temporary(t);
  const as = asOrdinaryUser(t, base);
  mkdirSync(join(base, "d"));
  chmodSync(join(base, "d"), 0o600);
  const refused = (error: unknown): boolean =>
    hasCode(error, "DIRECTORY_INSECURE") &&
    error.details.check === "mode" &&
    /\/d cannot be trusted: it has insecure permissions 0600, expected 0700 \(mend with: chmod 700 /.test(
      error.message,
    );
  // Its own mode, and that of a parent.
  for (const path of [join(base, "d"), join(base, "d/e")]) {
    assert.throws(() => as.ensurePrivateDirectory(path), refused);
    assert.throws(() => as.checkPrivateDirectory(path), refused);
    if (path.endsWith("e")) assert.throws(() => as.checkConnectDirectory(path), refused);
  }
  assert.equal(lstatSync(join(base, "d")).mode & 0o777, 0o600, "left as it was");
  const maker = new Worker(`require("node:fs").chmodSync(require("node:worker_threads").workerData, 0o700)`, {
    eval: true,
    workerData: join(base, "d"),
  });
  const ended = once(maker, "exit");
  // The worker is on its way, and this thread does nothing but wait for it.
  for (let done = false; !done; ) {
    try {
      as.ensurePrivateDirectory(join(base, "d/e"));
      done = true;
    } catch (error) {
      if (!refused(error)) throw error;
    }
  }
  await ended;
});

test("what has lacked its owner's permissions for a while is told at once, without blocking this thread", (t) => {
  const base = temporary(t);
  const as = asOrdinaryUser(t, base);
  const log = join(base, "log");
  writeFileSync(log, "", { mode: 0o400 });
  directory(join(base, "d"), 0o500);
  const { now } = Date;
  t.mock.method(Date, "now", () => now() + 2000);
  const wait = t.mock.method(Atomics, "wait");
  assert.throws(
    () => as.openLog(log),
    (error) => hasCode(error, "IO_FAILED") && error.details.errno === "EACCES",
  );
  as.ensurePrivateDirectory(join(base, "d"));
  assert.equal(wait.mock.callCount(), 0);
  // One that has just been made is waited for.
  t.mock.method(Date, "now", now);
  chmodSync(log, 0o400);
  assert.throws(() => as.openLog(log));
  assert.ok(wait.mock.callCount() > 0);
});

function setUmask(t: TestContext, umask: number): void {
  const before = process.umask(umask);
  t.after(() => process.umask(before));
}
