import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { KEEP, setUpLog } from "../../../../test/platform/support/log.ts";
import { flagsOf, O_NONBLOCK } from "../../../../test/support/process-facts.ts";
import { hasCode } from "../../../base/errors.ts";

const text = (path: string): string => readFileSync(path, "utf8");

for (const [what, make] of [
  ["a link", (path: string) => symlinkSync("/etc/hostname", path)],
  ["a FIFO", (path: string) => execFileSync("mkfifo", [path])],
  ["a directory", (path: string) => mkdirSync(path)],
] as const) {
  test(`${what} at the path of a log or of its older file is refused at once, and stays`, async (t) => {
    const { directory, path, open } = setUpLog(t);
    make(path);
    assert.throws(
      () => open(),
      (error) => hasCode(error, "FILE_INSECURE") && error.reason.includes(path),
    );
    const other = open(join(directory, "other"));
    make(`${directory}/other.1`);
    writeSync(other.fd, "z".repeat(10_000));
    const { fault } = await other.rotate(KEEP);
    assert.ok(hasCode(fault, "FILE_INSECURE", "IO_FAILED"), String(fault));
    assert.ok(other.size() <= KEEP);
    assert.deepEqual(readdirSync(directory).sort(), ["log", "other", "other.1"]);
  });
}

test("a socket and a device at the path of a log are refused", async (t) => {
  const { path, open } = setUpLog(t);
  const server = createServer().listen(path);
  await once(server, "listening");
  assert.throws(
    () => open(),
    (error) => hasCode(error, "FILE_INSECURE") && /a socket/.test(error.reason),
  );
  server.close();
  await once(server, "close");
  assert.throws(
    () => open("/dev/null"),
    (error) => hasCode(error, "FILE_INSECURE") && /a device/.test(error.reason),
  );
});

test("the file of another user is refused", (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const { path, open } = setUpLog(t);
  writeFileSync(path, "");
  execFileSync("chown", ["65534", path]);
  assert.throws(
    () => open(),
    (error) => hasCode(error, "FILE_INSECURE") && /uid 65534/.test(error.reason),
  );
});

test("a log is private whatever mode it has, and its descriptor blocks and appends", (t) => {
  const { path, open } = setUpLog(t);
  writeFileSync(path, "");
  chmodSync(path, 0o644);
  const log = open();
  assert.equal(fstatSync(log.fd).mode & 0o777, 0o600);
  const flags = flagsOf(log.fd);
  assert.deepEqual([flags & O_NONBLOCK, flags & constants.O_APPEND], [0, constants.O_APPEND]);
});

test("a watch tells of writes to the open file, also when its path leads elsewhere", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  renameSync(path, `${path}.moved`);
  writeFileSync(path, "");
  // A watch keeps no process alive.
  const alive = setInterval(() => {}, 1_000);
  t.after(() => clearInterval(alive));
  const changed = new Promise<void>((resolve) => {
    const watcher = log.watch(() => {
      watcher?.close();
      resolve();
    });
  });
  appendFileSync(`${path}.moved`, "x");
  await changed;
});

test("the last words are those since the mark, whole lines, bounded, through rotation", async (t) => {
  const { path, open } = setUpLog(t);
  appendFileSync(path, "of an earlier launch\n");
  const log = open();
  assert.equal(log.words(KEEP), "of an earlier launch\n");
  log.mark();
  assert.equal(log.words(KEEP), "");
  writeSync(log.fd, "first\nsecond\n");
  assert.equal(log.words(KEEP), "first\nsecond\n");
  await log.rotate(1_000_000);
  assert.equal(log.words(KEEP), "first\nsecond\n");
  writeSync(log.fd, "third\n");
  assert.equal(log.words(KEEP), "first\nsecond\nthird\n");
  writeSync(log.fd, `${"x".repeat(3000)}\n${"y".repeat(3000)}\nlast`);
  assert.equal(log.words(KEEP), `${"y".repeat(3000)}\nlast`);
  log.close();
  assert.equal(log.words(KEEP), "");
});

test("the last words after a rotation that dropped some are the newest, and never those of before the mark", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  mkdirSync(`${path}.1`);
  writeSync(log.fd, "before\n".repeat(3000));
  log.mark();
  writeSync(log.fd, "one\ntwo\n");
  await log.rotate(KEEP);
  assert.equal(log.words(KEEP), "one\ntwo\n");
  writeSync(log.fd, "three\n");
  assert.equal(log.words(KEEP), "one\ntwo\nthree\n");
});

test("a log that is closed while it is rotated closes its descriptor at the end", async (t) => {
  const { open } = setUpLog(t);
  const log = open();
  writeSync(log.fd, "a".repeat(3_000_000));
  const target = readlinkSync(`/proc/self/fd/${log.fd}`);
  const rotation = log.rotate(2_000_000);
  log.close();
  await rotation;
  assert.throws(() => {
    if (readlinkSync(`/proc/self/fd/${log.fd}`) !== target) throw new Error("another file");
  });
});

/** Guards against closing the descriptor a second time, which is another file's by then. */
test("a log that is closed is not rotated, and neither what has its descriptor now nor its older file is touched", async (t) => {
  const { directory, path, open } = setUpLog(t);
  const log = open();
  writeSync(log.fd, "a line\n".repeat(100));
  log.close();
  const other = openSync(join(directory, "other"), "w+");
  try {
    assert.equal(other, log.fd, "the number is given again");
    writeSync(other, "of another file\n");
    assert.deepEqual(await log.rotate(KEEP), { droppedBytes: 0, emptied: false });
    writeSync(other, "and more\n");
  } finally {
    closeSync(other);
  }
  assert.equal(text(join(directory, "other")), "of another file\nand more\n");
  assert.deepEqual(readdirSync(directory).sort(), ["log", "other"]);
  assert.equal(text(path), "a line\n".repeat(100));
});

test("a log that is closed while it waits for its turn is not rotated, nor when it is asked again", async (t) => {
  const { directory, open } = setUpLog(t);
  const [first, second] = [open(), open(join(directory, "second"))];
  for (const log of [first, second]) writeSync(log.fd, "a line\n".repeat(1000));
  const rotations = [first.rotate(KEEP), second.rotate(KEEP)];
  second.close();
  rotations.push(second.rotate(KEEP));
  assert.deepEqual(
    (await Promise.all(rotations)).map(({ emptied }) => emptied),
    [true, false, false],
  );
  assert.equal(text(join(directory, "second")), "a line\n".repeat(1000));
});
