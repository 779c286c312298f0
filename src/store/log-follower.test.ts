import assert from "node:assert/strict";
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openedSince, openNow } from "../../test/support/peers/pairs.ts";
import { hasCode } from "../base/errors.ts";
import { collapseHead } from "../platform/linux/collapse.ts";
import type { OpenFile } from "../platform/ports/index.ts";
import { createFiles } from "../platform/posix/files/files.ts";
import { followCopied, followRenamed, type LogFollower } from "./log-follower.ts";

function setUp(t: TestContext, follow: typeof followCopied): { path: string; follower: LogFollower; read(): string } {
  const directory = mkdtempSync(join(tmpdir(), "fol-"));
  const path = join(directory, "log");
  const before = openNow();
  const follower = follow(createFiles(), path);
  t.after(() => {
    follower.close();
    rmSync(directory, { recursive: true });
    assert.deepEqual(openedSince(before), [], "a descriptor stayed open");
  });
  return { path, follower, read: () => follower.read().toString() };
}

const MOST_BYTES = 4096;
const renamed: typeof followCopied = (files, path) => followRenamed(files, path, MOST_BYTES);

for (const [name, follow] of [
  ["renamed", renamed],
  ["copied", followCopied],
] as const) {
  test(`${name}: the older file first, then the current one, then what comes`, (t) => {
    const { path, read } = setUp(t, follow);
    assert.equal(read(), "");
    writeFileSync(`${path}.1`, "one\n");
    writeFileSync(path, "two\n");
    assert.equal(read(), "one\ntwo\n");
    assert.equal(read(), "");
    appendFileSync(path, "three\n");
    assert.equal(read(), "three\n");
  });

  test(`${name}: a link in the file's place is not followed`, (t) => {
    const { path, follower } = setUp(t, follow);
    symlinkSync("/etc/hostname", path);
    assert.throws(
      () => follower.read(),
      (error) => hasCode(error, "IO_FAILED", "FILE_INSECURE"),
    );
  });
}

test("renamed: of files larger than any writer of ours makes, the end is read", (t) => {
  const { path, read } = setUp(t, renamed);
  for (const file of [`${path}.1`, path]) {
    writeFileSync(file, "");
    truncateSync(file, 3 * 2 ** 30);
    appendFileSync(file, `end of ${file === path ? "the current" : "the older"} one\n`);
  }
  const first = read();
  assert.equal(first.length, 2 * MOST_BYTES);
  assert.match(first, /end of the older one\n\0+end of the current one\n$/);
  appendFileSync(path, `${"x".repeat(MOST_BYTES)}what came\n`);
  const second = read();
  assert.equal(second.length, MOST_BYTES);
  assert.ok(second.endsWith("what came\n"));
});

test("renamed: nothing is missed or told twice through two rotations between looks and late writers", (t) => {
  const { path, read } = setUp(t, renamed);
  appendFileSync(path, "1\n");
  assert.equal(read(), "1\n");
  appendFileSync(path, "2\n");
  renameSync(path, `${path}.1`);
  // A writer that has not noticed yet.
  appendFileSync(`${path}.1`, "3\n");
  assert.equal(read(), "2\n3\n");
  appendFileSync(`${path}.1`, "4\n");
  appendFileSync(path, "5\n");
  renameSync(path, `${path}.1`);
  appendFileSync(path, "6\n");
  assert.equal(read(), "4\n5\n6\n");
  rmSync(path);
  appendFileSync(path, "7\n");
  assert.equal(read(), "7\n");
});

/** As a broker does it; nothing is dropped below `keepBytes`. */
async function rotate(path: string, keepBytes = 4096): Promise<void> {
  const log = createFiles({ collapseHead }).openLog(path);
  await log.rotate(keepBytes);
  log.close();
}

test("copied: what was written before and after a rotation comes once, in order", async (t) => {
  const { path, read } = setUp(t, followCopied);
  appendFileSync(path, "1\n");
  assert.equal(read(), "1\n");
  appendFileSync(path, "2\n");
  await rotate(path);
  assert.equal(read(), "2\n");
  appendFileSync(path, "3\n");
  await rotate(path);
  appendFileSync(path, "4\n");
  assert.equal(read(), "3\n4\n");
});

test("copied: a reader that looks now and then reads each line of many rotations once, in order", async (t) => {
  const { path, read } = setUp(t, followCopied);
  let written = "";
  let seen = "";
  for (let n = 0; n < 120; n++) {
    const lines = Array.from({ length: 400 }, (_, i) => `line ${n * 400 + i}\n`).join("");
    appendFileSync(path, lines);
    written += lines;
    // Of what is less than the limit nothing is dropped, wherever the reader is.
    if (n % 7 === 3) seen += read();
    if (n % 5 === 4) await rotate(path, 2 ** 17);
    if (n % 3 === 1) seen += read();
  }
  assert.equal(seen + read(), written);
});

test("copied: a file that has grown beyond where it was read is seen to be a new one", async (t) => {
  const { path, read } = setUp(t, followCopied);
  appendFileSync(path, "old\n");
  read();
  appendFileSync(path, "rest\n");
  await rotate(path);
  appendFileSync(path, "much longer than the old one was\n");
  assert.equal(read(), "rest\nmuch longer than the old one was\n");
});

test("copied: a file deleted and made anew is read from its start, and what the old one still held", (t) => {
  const { path, read } = setUp(t, followCopied);
  appendFileSync(path, "1\n");
  read();
  appendFileSync(path, "2\n");
  rmSync(path);
  appendFileSync(path, "3\n");
  assert.equal(read(), "2\n3\n");
  assert.equal(readFileSync(path, "utf8"), "3\n");
});

test("copied: a file that is emptied in the middle of a look is read as if it had been before", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "fol-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "log");
  const files = createFiles();
  let meanwhile = (): void => {};
  const follower = followCopied(
    {
      ...files,
      open: ((name: string, mode: "read"): OpenFile | undefined => {
        const file = files.open(name, mode);
        return (
          file && {
            facts: () => file.facts(),
            linked: () => file.linked(),
            append: (bytes) => file.append(bytes),
            close: () => file.close(),
            read(position, maxBytes) {
              // Between what was checked and what is read.
              if (name === path && maxBytes > 4096) meanwhile();
              return file.read(position, maxBytes);
            },
          }
        );
      }) as typeof files.open,
    },
    path,
  );
  t.after(() => follower.close());
  appendFileSync(path, "line 0\n");
  assert.equal(follower.read().toString(), "line 0\n");
  meanwhile = () => {
    meanwhile = () => {};
    appendFileSync(path, "line 1 before\n");
    // What a rotation leaves, all at once: the reader has no turn in the middle of a look.
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
    appendFileSync(path, "line 1 after\n");
  };
  assert.equal(follower.read().toString(), "line 1 before\nline 1 after\n");
  assert.equal(follower.read().toString(), "");
});

test("copied: where only the end of a file was kept, the reader goes on in it, at the place it had reached", async (t) => {
  const { path, read } = setUp(t, followCopied);
  const lines = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `line ${from + i}\n`).join("");
  appendFileSync(path, lines(1000, 1500));
  assert.equal(read(), lines(1000, 1500));
  appendFileSync(path, lines(1500, 1600));
  await rotate(path, 4096);
  appendFileSync(path, lines(1600, 1610));
  assert.match(readFileSync(`${path}.1`, "utf8"), /^\[rpb: \d+ bytes dropped\]\nline 1/);
  assert.equal(read(), lines(1500, 1610));
});

test("copied: of what was dropped before it was read there is the note, and everything behind it", async (t) => {
  const { path, read } = setUp(t, followCopied);
  appendFileSync(path, "begin\n");
  read();
  appendFileSync(path, `${"lost\n".repeat(2000)}${"kept\n".repeat(700)}`);
  await rotate(path, 4096);
  appendFileSync(path, "after\n");
  assert.match(
    read(),
    /^\[rpb: \d+ bytes dropped\]\n(kept\n){700}after\n$|^\[rpb: \d+ bytes dropped\]\n(lost\n)*(kept\n){700}after\n$/,
  );
});
