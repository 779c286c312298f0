/** What was seen in a directory holds as long as the number stays, so each thing that can happen there must change it at once. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { loadPlatform } from "../../src/platform/platform.ts";
import type { ChangeCounter } from "../../src/platform/ports/index.ts";
import { createFiles } from "../../src/platform/posix/files/files.ts";
import { openedSince, openNow } from "../support/peers/pairs.ts";

const { files, transport } = await loadPlatform();

function createDirectory(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "cc-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const directory = join(root, "d");
  mkdirSync(directory);
  return directory;
}

function count(t: TestContext, directory: string): ChangeCounter {
  const counter = files.changeCounter(directory);
  t.after(() => counter.close());
  return counter;
}

/** A number that has come twice. The counter gives a new one every 100 ms, which may fall between two calls. */
function settled(counter: ChangeCounter): number {
  for (let tries = 0; tries < 100; tries++) {
    const value = counter.value();
    if (counter.value() === value) return value;
  }
  throw new Error("the number does not stay");
}

test("whatever happens to a file in the directory, or to the directory, is counted in the next call", (t) => {
  const directory = createDirectory(t);
  const at = (name: string): string => join(directory, name);
  writeFileSync(join(directory, "..", "outside"), "");
  const counter = count(t, directory);
  const happenings: readonly [string, () => void][] = [
    ["a file is made", () => writeFileSync(at("file"), "content")],
    ["written to", () => appendFileSync(at("file"), "more")],
    ["cut", () => truncateSync(at("file"), 3)],
    ["given another mode", () => chmodSync(at("file"), 0o600)],
    ["given another time", () => utimesSync(at("file"), 1, 1)],
    ["renamed", () => renameSync(at("file"), at("other"))],
    ["replaced by a rename from outside", () => renameSync(join(directory, "..", "outside"), at("other"))],
    ["moved away", () => renameSync(at("other"), join(directory, "..", "outside"))],
    ["linked to", () => linkSync(join(directory, "..", "outside"), at("hard"))],
    ["a link is made", () => symlinkSync("nowhere", at("link"))],
    ["removed", () => unlinkSync(at("hard"))],
    ["a socket is bound", () => transport.listen(at("socket")).close()],
    ["a directory is made", () => mkdirSync(at("inner"))],
    ["this one is given another mode", () => chmodSync(directory, 0o700)],
    ["is moved", () => renameSync(directory, `${directory}-moved`)],
  ];
  for (const [what, happen] of happenings) {
    const before = settled(counter);
    happen();
    assert.notEqual(counter.value(), before, what);
  }
});

test("a directory that is not there is not vouched for, and is once it was made", (t) => {
  const directory = createDirectory(t);
  const counter = count(t, directory);
  settled(counter);
  rmSync(directory, { recursive: true });
  counter.value();
  assert.notEqual(counter.value(), counter.value());
  mkdirSync(directory);
  const before = settled(counter);
  writeFileSync(join(directory, "file"), "");
  assert.notEqual(counter.value(), before);
});

test("a directory of the same name that took the place of another is watched from the next call on", (t) => {
  const directory = createDirectory(t);
  const counter = count(t, directory);
  settled(counter);
  renameSync(directory, `${directory}-old`);
  mkdirSync(directory);
  const before = settled(counter);
  writeFileSync(join(directory, "file"), "");
  assert.notEqual(counter.value(), before);
});

test("two counters of one directory see the same, also when one is closed", (t) => {
  const directory = createDirectory(t);
  const one = count(t, directory);
  const two = count(t, directory);
  const before = settled(one);
  writeFileSync(join(directory, "file"), "");
  assert.notEqual(one.value(), before);
  assert.notEqual(two.value(), before);
  one.close();
  one.close();
  assert.ok(Number.isNaN(one.value()), "a closed one vouches for nothing");
  const after = settled(two);
  unlinkSync(join(directory, "file"));
  assert.notEqual(two.value(), after);
});

test("a directory that has two names is vouched for under one of them at most", (t) => {
  const directory = createDirectory(t);
  const one = count(t, directory);
  const two = count(t, `${directory}/.`);
  settled(one);
  assert.notEqual(two.value(), two.value());
  const before = settled(one);
  writeFileSync(join(directory, "file"), "");
  assert.notEqual(one.value(), before);
});

test("many changes fill no queue, and nothing is left open in the end", (t) => {
  const before = openNow();
  const directory = createDirectory(t);
  const counter = count(t, directory);
  const was = settled(counter);
  // Twice as much as the kernel keeps by default (fs.inotify.max_queued_events).
  for (let times = 0; times < 16_384; times++) {
    writeFileSync(join(directory, "a"), "");
    writeFileSync(join(directory, "b"), "");
  }
  assert.notEqual(counter.value(), was);
  settled(counter);
  counter.close();
  assert.deepEqual(openedSince(before), []);
});

test("where nothing can be watched nothing is vouched for", () => {
  const counter = createFiles().changeCounter("/");
  assert.ok(Number.isNaN(counter.value()));
  counter.close();
});
