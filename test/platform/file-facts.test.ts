/** What statx(2) says of a file is what Node says of it: stamps of both are compared with each other. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import { createFiles } from "../../src/platform/posix/files/files.ts";

const { files, transport } = await loadPlatform();
const portable = createFiles();

test("files of every kind look alike, times before 1970 and devices included", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ff-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const at = (name: string): string => join(directory, name);
  writeFileSync(at("file"), "content", { mode: 0o640 });
  writeFileSync(at("old"), "");
  utimesSync(at("old"), -1.5, -1.5);
  mkdirSync(at("directory"), { mode: 0o1770 });
  symlinkSync("nowhere", at("link"));
  const listener = transport.listen(at("socket"));
  t.after(() => listener.close());
  const kinds = ["file", "old", "directory", "link", "socket"].map((name) => {
    const facts = files.facts(at(name));
    assert.deepEqual(facts, portable.facts(at(name)), name);
    return facts?.kind;
  });
  assert.deepEqual(kinds, ["file", "file", "directory", "link", "socket"]);
  for (const path of ["/", "/dev/null", "/proc/self/exe", "/proc/1/stat"])
    assert.deepEqual(files.facts(path), portable.facts(path), path);
});

test("nothing is undefined, and what cannot be looked at is an error with its errno", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ff-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "file"), "");
  assert.equal(files.facts(join(directory, "nothing")), undefined);
  for (const [path, errno] of [
    [join(directory, "file", "below"), "ENOTDIR"],
    [join(directory, "x".repeat(300)), "ENAMETOOLONG"],
    [`${directory}\0/etc`, "EINVAL"],
  ] as const)
    assert.throws(
      () => files.facts(path),
      (error) => hasCode(error, "IO_FAILED") && error.details.errno === errno,
    );
});
