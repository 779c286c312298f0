/** Which directories are trusted, as a table; none is ever repaired. */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform } from "../../src/platform/platform.ts";

const { files } = await loadPlatform();
const STRANGER = 65534;
const isRoot = process.geteuid?.() === 0;

interface Row {
  readonly what: string;
  /** Makes something below `base` and returns the directory that is judged. */
  make(base: string): string;
  /** `details.check` and a part of the text; undefined: trusted. */
  readonly refused?: readonly [check: string, why: RegExp];
  readonly needsRoot?: boolean;
}

function directory(path: string, mode = 0o700, uid?: number): string {
  mkdirSync(path);
  chmodSync(path, mode);
  if (uid !== undefined) chownSync(path, uid, uid);
  return path;
}

const modeRow = (mode: number): Row => ({
  what: `mode ${mode.toString(8)}`,
  make: (base) => directory(join(base, "d"), mode),
  refused: ["mode", new RegExp(`permissions 0${mode.toString(8)}, expected 0700 \\(mend with: chmod 700 .*/d\\)`)],
});

const ROWS: readonly Row[] = [
  { what: "mode 700", make: (base) => directory(join(base, "d")) },
  { what: "mode 500", make: (base) => directory(join(base, "d"), 0o500) },
  ...[0o755, 0o750, 0o705, 0o710, 0o701, 0o720, 0o702, 0o777].map(modeRow),
  {
    what: "a link to a good directory",
    make: (base) => {
      symlinkSync(directory(join(base, "real")), join(base, "d"));
      return join(base, "d");
    },
    refused: ["link", /it is a symbolic link/],
  },
  {
    what: "a link to nothing",
    make: (base) => {
      symlinkSync(join(base, "nothing"), join(base, "d"));
      return join(base, "d");
    },
    refused: ["link", /it is a symbolic link/],
  },
  {
    what: "a link with a slash behind it",
    make: (base) => {
      symlinkSync(directory(join(base, "real")), join(base, "d"));
      return `${join(base, "d")}/`;
    },
    refused: ["link", /it is a symbolic link/],
  },
  {
    what: "a file",
    make: (base) => {
      writeFileSync(join(base, "d"), "", { mode: 0o600 });
      return join(base, "d");
    },
    refused: ["kind", /it is not a directory/],
  },
  {
    what: "below a file",
    make: (base) => {
      writeFileSync(join(base, "file"), "", { mode: 0o600 });
      return join(base, "file", "d");
    },
    refused: ["kind", /a parent of it is not a directory/],
  },
  {
    what: "somebody else's",
    make: (base) => directory(join(base, "d"), 0o700, STRANGER),
    refused: ["owner", /it belongs to uid 65534, expected 0/],
    needsRoot: true,
  },
  {
    what: "in a directory that others may read",
    make: (base) => directory(join(directory(join(base, "p"), 0o755), "d")),
  },
  {
    what: "in a directory of ours that everybody may write to",
    make: (base) => directory(join(directory(join(base, "p"), 0o1777), "d")),
  },
  {
    what: "in somebody else's directory in one that everybody may write to",
    make: (base) => directory(join(directory(join(directory(join(base, "p"), 0o1777), "q"), 0o755, STRANGER), "d")),
    refused: ["owner", /\/p\/q cannot be trusted: it belongs to uid 65534/],
    needsRoot: true,
  },
  {
    what: "in a directory of ours in one that everybody may write to",
    make: (base) => directory(join(directory(join(directory(join(base, "p"), 0o1777), "q"), 0o755), "d")),
  },
];

function temporary(t: TestContext): string {
  const base = mkdtempSync(join(tmpdir(), "p"));
  t.after(() => rmSync(base, { recursive: true }));
  return base;
}

for (const { what, make, refused, needsRoot } of ROWS) {
  test(`${what}: ${refused === undefined ? "trusted" : `refused (${refused[0]})`}`, (t) => {
    if (needsRoot && !isRoot) return t.skip("needs root to make it");
    const path = make(temporary(t));
    const before = existsSync(path) ? lstatSync(path).mode : undefined;
    if (refused === undefined) {
      files.ensurePrivateDirectory(path);
      assert.equal(files.checkPrivateDirectory(path), true);
    } else {
      const [check, why] = refused;
      const insecure = (error: unknown): boolean =>
        hasCode(error, "DIRECTORY_INSECURE") && error.details.check === check && why.test(error.message);
      assert.throws(() => files.ensurePrivateDirectory(path), insecure);
      assert.throws(() => files.checkPrivateDirectory(path), insecure);
    }
    assert.equal(existsSync(path) ? lstatSync(path).mode : undefined, before, "left as it was");
  });
}

test("missing directories are made with mode 700 whatever the umask, parents too; looking makes none", (t) => {
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  const base = temporary(t);
  const path = join(base, "a/b/c");
  assert.equal(files.checkPrivateDirectory(path), false);
  assert.equal(existsSync(join(base, "a")), false);
  files.ensurePrivateDirectory(path);
  for (const part of ["a", "a/b", "a/b/c"]) assert.equal(statSync(join(base, part)).mode & 0o777, 0o700, part);
  files.ensurePrivateDirectory(path);
});

test("a relative path is refused: what it means changes with the working directory", () => {
  assert.throws(
    () => files.ensurePrivateDirectory("some/where"),
    (error) => hasCode(error, "DIRECTORY_INSECURE") && /not an absolute path/.test(error.message),
  );
});
