/** Which directories are trusted, as a table; none is ever repaired. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import { asOrdinaryUser, becomeRoot, directory, isRoot, ORDINARY, STRANGER, temporary } from "./support/directories.ts";

const { files } = await loadPlatform();
/** Runs of these tests side by side do not share it. */
const UNUSED_UID = 1_000_000_000 + process.pid;

interface Row {
  readonly what: string;
  /** Makes something below `base` and returns the directory that is judged. */
  make(base: string): string;
  /** `details.check` and a part of the text; undefined: trusted. */
  readonly refused?: readonly [check: string, why: RegExp];
  readonly needsRoot?: boolean;
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

interface CreateRow {
  readonly what: string;
  readonly owner: number;
  readonly mode: number;
  readonly allowed: boolean;
}

const CREATE_ROWS: readonly CreateRow[] = [
  { what: "ours", owner: ORDINARY, mode: 0o700, allowed: true },
  { what: "ours that others may read", owner: ORDINARY, mode: 0o755, allowed: true },
  { what: "root's sticky one", owner: 0, mode: 0o1777, allowed: true },
  { what: "root's that all may write to", owner: 0, mode: 0o777, allowed: false },
  { what: "root's that only root may write to", owner: 0, mode: 0o755, allowed: false },
  { what: "another user's that all may write to", owner: STRANGER, mode: 0o777, allowed: false },
  { what: "another user's sticky one", owner: STRANGER, mode: 0o1777, allowed: false },
  { what: "another user's that we may only pass through", owner: STRANGER, mode: 0o711, allowed: false },
  { what: "another user's that is closed to us", owner: STRANGER, mode: 0o700, allowed: false },
];

for (const { what, owner, mode, allowed } of CREATE_ROWS) {
  test(`in a directory that is ${what}, one ${allowed ? "is made" : "is refused and nothing is made"}`, (t) => {
    if (!isRoot) return t.skip("needs root to make it");
    const base = temporary(t);
    chmodSync(base, 0o711);
    const parent = directory(join(base, "p"), mode, owner);
    const as = asOrdinaryUser(t);
    const path = join(parent, "a/b");
    if (allowed) as.ensurePrivateDirectory(path);
    else
      assert.throws(
        () => as.ensurePrivateDirectory(path),
        (error) =>
          hasCode(error, "DIRECTORY_INSECURE") &&
          error.details.check === "owner" &&
          error.details.owner === owner &&
          error.details.path === parent &&
          error.message.includes(`it belongs to uid ${owner}, expected ${ORDINARY}`) &&
          /name a directory of your own/.test(error.message),
      );
    becomeRoot();
    assert.equal(existsSync(join(parent, "a")), allowed);
  });
}

test("the cure can be pasted into a shell, whatever the path", (t) => {
  const path = directory(join(temporary(t), "it's a\ndirectory"), 0o755);
  assert.throws(
    () => files.ensurePrivateDirectory(path),
    (error) => {
      const [, command] = /mend with: (chmod .*)\)$/s.exec((error as Error).message) ?? [];
      execFileSync("/bin/sh", ["-c", command as string]);
      return true;
    },
  );
  assert.equal(lstatSync(path).mode & 0o777, 0o700);
});

test("a fallback directory must be private at both levels", (t) => {
  if (!isRoot) return t.skip("needs root to become another user");
  const uid = UNUSED_UID;
  const own = `/tmp/running-process-${uid}`;
  t.after(() => {
    becomeRoot();
    rmSync(own, { recursive: true, force: true });
  });
  const as = asOrdinaryUser(t, undefined, uid);
  const path = `${own}/0123456789abcdef`;
  assert.equal(as.checkConnectDirectory(path), false);
  as.ensurePrivateDirectory(path);
  for (const level of [own, path]) {
    assert.equal(lstatSync(level).mode & 0o7777, 0o700);
    chmodSync(level, 0o755);
    for (const judge of [as.ensurePrivateDirectory, as.checkPrivateDirectory, as.checkConnectDirectory])
      assert.throws(
        () => judge(path),
        (error) => hasCode(error, "DIRECTORY_INSECURE") && error.details.path === level,
      );
    chmodSync(level, 0o700);
  }
  assert.equal(as.checkConnectDirectory(path), true);
});

test("a relative path is refused: what it means changes with the working directory", () => {
  assert.throws(
    () => files.ensurePrivateDirectory("some/where"),
    (error) => hasCode(error, "DIRECTORY_INSECURE") && /not an absolute path/.test(error.message),
  );
});
