import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { test } from "node:test";
import { KEEP, setUpLog } from "../../../../test/platform/support/log.ts";
import { hasCode, isBrokerError } from "../../../base/errors.ts";
import { collapseHead } from "../../linux/collapse.ts";
import { createLogOpener } from "./log-file.ts";

const text = (path: string): string => readFileSync(path, "utf8");

test("a log that fits is moved aside whole, and its writer goes on at the start of the file", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  writeSync(log.fd, "a".repeat(KEEP));
  assert.deepEqual(await log.rotate(KEEP), { droppedBytes: 0, emptied: true });
  assert.equal(text(`${path}.1`), "a".repeat(KEEP));
  writeSync(log.fd, "after\n");
  assert.equal(text(path), "after\n");
  assert.deepEqual([statSync(path).mode & 0o777, statSync(`${path}.1`).mode & 0o777], [0o600, 0o600]);
});

for (const [way, collapse] of [
  ["taken away", collapseHead],
  ["not taken away after all", async () => false],
] as const) {
  test(`with the head ${way} older file and log are the whole output, and words since the mark stay whole`, async (t) => {
    const { path, open } = setUpLog(t, { collapse });
    const log = open();
    const lines = (from: number) => Array.from({ length: 1000 }, (_, i) => `line ${from + i}\n`).join("");
    writeSync(log.fd, lines(10_000));
    log.mark();
    writeSync(log.fd, "since the mark\n");
    const all = `${lines(10_000)}since the mark\n`;
    assert.deepEqual(await log.rotate(2 ** 17), { droppedBytes: 0, emptied: true });
    assert.equal(text(`${path}.1`) + text(path), all);
    assert.ok(log.size() < 4096);
    assert.equal(log.words(4096), "since the mark\n");
    writeSync(log.fd, lines(20_000));
    assert.equal(text(`${path}.1`) + text(path), all + lines(20_000));
    assert.match(log.words(40_000), /^since the mark\nline 20000\n.*line 20999\n$/s);
  });
}

test("a log that is empty leaves its older file alone", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  writeFileSync(`${path}.1`, "older\n");
  assert.deepEqual(await log.rotate(KEEP), { droppedBytes: 0, emptied: true });
  assert.equal(text(`${path}.1`), "older\n");
});

test("of a log beyond its limit the last whole lines are kept, behind a note of what was dropped", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  for (let i = 0; i < 100_000; i++) writeSync(log.fd, `line ${i}\n`);
  const before = log.size();
  const { droppedBytes } = await log.rotate(KEEP);
  const [note, ...kept] = text(`${path}.1`).split("\n");
  assert.equal(note, `[rpb: ${droppedBytes} bytes dropped]`);
  assert.equal(droppedBytes + kept.join("\n").length, before);
  assert.match(kept[0] ?? "", /^line \d+$/);
  assert.equal(kept.at(-2), "line 99999");
  assert.ok(statSync(`${path}.1`).size <= KEEP && statSync(`${path}.1`).size > KEEP - 100);
  assert.equal(log.size(), 0);
});

test("lines that never end and limits below a note's length are cut where they must be", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  writeSync(log.fd, "x".repeat(50_000));
  assert.equal((await log.rotate(KEEP)).droppedBytes, 50_000 - KEEP + 64);
  assert.ok(statSync(`${path}.1`).size <= KEEP);
  writeSync(log.fd, "y".repeat(5000));
  assert.equal((await log.rotate(1)).droppedBytes, 5000);
  assert.equal(text(`${path}.1`), "[rpb: 5000 bytes dropped]\n");
});

test("a writer that does not pause leaves both files within their limit, and everything else is counted", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  const writer = spawn("sh", ["-c", 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done'], {
    stdio: ["ignore", log.fd, "inherit"],
  });
  const ended = once(writer, "close");
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over) {
    await log.rotate(KEEP);
    assert.ok((statSync(`${path}.1`, { throwIfNoEntry: false })?.size ?? 0) <= KEEP);
    await new Promise(setImmediate);
  }
  await log.rotate(KEEP);
  assert.ok(statSync(path).size <= KEEP);
  // Not necessarily as the last one: of a writer that does not pause lines can change places around a cut.
  assert.match(text(`${path}.1`) + text(path), /line 19999\n/);
});

test("where the older file cannot be written it is said why, and the newest lines stay", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  mkdirSync(`${path}.1`);
  for (let i = 0; i < 10_000; i++) writeSync(log.fd, `line ${i}\n`);
  const before = log.size();
  const { droppedBytes, fault } = await log.rotate(KEEP);
  assert.ok(isBrokerError(fault) && /EISDIR|directory/.test(fault.message), String(fault));
  const [note, ...kept] = text(path).split("\n");
  assert.equal(note, `[rpb: ${droppedBytes} bytes dropped]`);
  assert.equal(droppedBytes + kept.join("\n").length, before);
  assert.equal(kept.at(-2), "line 9999");
  assert.ok(log.size() <= KEEP);
  assert.ok(existsSync(`${path}.1`));
});

test("the open file counts: another one at its path is neither measured nor emptied, nor is its older file", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  renameSync(path, `${path}.moved`);
  writeFileSync(path, "another");
  writeFileSync(`${path}.1`, "another's older one");
  writeSync(log.fd, "m".repeat(20_000));
  assert.equal(log.size(), 20_000);
  const { droppedBytes } = await log.rotate(KEEP);
  assert.ok(droppedBytes > 20_000 - KEEP);
  assert.ok(statSync(`${path}.moved`).size <= KEEP);
  assert.deepEqual([text(path), text(`${path}.1`)], ["another", "another's older one"]);
});

test("a deleted log is emptied too", async (t) => {
  const { directory, path, open } = setUpLog(t);
  const log = open();
  rmSync(path);
  writeSync(log.fd, "m".repeat(20_000));
  await log.rotate(KEEP);
  assert.ok(log.size() <= KEEP);
  assert.deepEqual(readdirSync(directory), []);
});

test("a file that cannot be emptied says so, and nothing of it is lost", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  writeSync(log.fd, "a".repeat(20_000));
  try {
    execFileSync("chattr", ["+a", path], { stdio: "ignore" });
  } catch {
    return t.skip("needs a file system with attributes, and the right to set them");
  }
  const { emptied, fault } = await log.rotate(KEEP);
  execFileSync("chattr", ["-a", path]);
  assert.deepEqual([emptied, hasCode(fault, "IO_FAILED"), log.size()], [false, true, 20_000]);
});

test("what another process emptied is not emptied again", async (t) => {
  const { path, open } = setUpLog(t);
  // Of another process: the two do not wait for each other.
  const [log, other] = [open(), createLogOpener(collapseHead)(path)];
  writeSync(log.fd, "a".repeat(KEEP));
  const both = Promise.all([log.rotate(KEEP), other.rotate(KEEP)]);
  await both;
  other.close();
  writeSync(log.fd, "b");
  assert.deepEqual([text(path), text(`${path}.1`)], ["b", "a".repeat(KEEP)]);
});

/** Guards against a hole of NULs in an older file: a hot restart hands the log over while the old process copies it. */
test("what a predecessor still writes into its older file is not in ours", async (t) => {
  const { path, open } = setUpLog(t);
  const log = open();
  writeFileSync(`${path}.1`, "of the predecessor\n", { mode: 0o600 });
  const predecessor = openSync(`${path}.1`, "r+");
  writeSync(log.fd, "a line\n".repeat(100));
  await log.rotate(KEEP);
  writeSync(predecessor, "a late slice\n", 50_000);
  closeSync(predecessor);
  assert.equal(text(`${path}.1`), "a line\n".repeat(100));
});
