/** Which directories of sockets a client trusts, as a table: also some that a broker would not use. */
import assert from "node:assert/strict";
import { chmodSync, lchownSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hasCode } from "../../src/base/errors.ts";
import { loadPlatform } from "../../src/platform/platform.ts";
import { asOrdinaryUser, directory, isRoot, ORDINARY, STRANGER, temporary } from "./support/directories.ts";

const { files } = await loadPlatform();

interface ConnectRow {
  readonly what: string;
  make(base: string): string;
  readonly refused?: readonly [check: string, owner: number];
}

const CONNECT_ROWS: readonly ConnectRow[] = [
  ...[0o700, 0o755, 0o711, 0o750].map((mode) => ({
    what: `ours with mode ${mode.toString(8)}`,
    make: (base: string) => directory(join(base, "d"), mode, ORDINARY),
  })),
  ...[0o775, 0o777, 0o702, 0o720].map((mode) => ({
    what: `ours with mode ${mode.toString(8)}`,
    make: (base: string) => directory(join(base, "d"), mode, ORDINARY),
    refused: ["mode", ORDINARY] as const,
  })),
  { what: "root's with mode 755", make: (base) => directory(join(base, "d"), 0o755, 0) },
  { what: "root's sticky one", make: (base) => directory(join(base, "d"), 0o1777, 0) },
  { what: "root's that all may write to", make: (base) => directory(join(base, "d"), 0o777, 0), refused: ["mode", 0] },
  // The reference's directories under umask 0002, below an XDG_RUNTIME_DIR as systemd makes it.
  ...[0o775, 0o770, 0o720].map((mode) => ({
    what: `ours with mode ${mode.toString(8)} below one of ours that is closed`,
    make: (base: string) => directory(join(directory(join(base, "p"), 0o700, ORDINARY), "d"), mode, ORDINARY),
  })),
  ...[0o777, 0o702].map((mode) => ({
    what: `ours with mode ${mode.toString(8)} below one of ours that is closed`,
    make: (base: string) => directory(join(directory(join(base, "p"), 0o700, ORDINARY), "d"), mode, ORDINARY),
    refused: ["mode", ORDINARY] as const,
  })),
  {
    what: "ours with mode 775 two levels below one of ours that is closed",
    make: (base) =>
      directory(
        join(directory(join(directory(join(base, "p"), 0o700, ORDINARY), "q"), 0o775, ORDINARY), "d"),
        0o775,
        ORDINARY,
      ),
  },
  ...[0o710, 0o701, 0o750].map((mode) => ({
    what: `ours with mode 775 below one of ours with mode ${mode.toString(8)}`,
    make: (base: string) => directory(join(directory(join(base, "p"), mode, ORDINARY), "d"), 0o775, ORDINARY),
    refused: ["mode", ORDINARY] as const,
  })),
  {
    what: "ours with mode 775 to which a link in a closed one leads",
    make: (base) => {
      const real = directory(join(base, "d"), 0o775, ORDINARY);
      symlinkSync(real, join(directory(join(base, "q"), 0o700, ORDINARY), "link"));
      lchownSync(join(base, "q/link"), ORDINARY, ORDINARY);
      return join(base, "q/link");
    },
    refused: ["mode", ORDINARY],
  },
  {
    what: "another user's with mode 755",
    make: (base) => directory(join(base, "d"), 0o755, STRANGER),
    refused: ["owner", STRANGER],
  },
  {
    what: "another user's that is closed to us",
    make: (base) => directory(join(base, "d"), 0o700, STRANGER),
    refused: ["owner", STRANGER],
  },
  {
    what: "missing in another user's that is closed to us",
    make: (base) => join(directory(join(base, "d"), 0o700, STRANGER), "e"),
    refused: ["owner", STRANGER],
  },
  {
    what: "missing in another user's below one that all may write to",
    make: (base) => join(directory(join(directory(join(base, "p"), 0o1777, 0), "d"), 0o755, STRANGER), "e"),
    refused: ["owner", STRANGER],
  },
  {
    what: "behind a link of ours",
    make: (base) => linked(base, ORDINARY),
  },
  {
    what: "behind another user's link",
    make: (base) => linked(base, STRANGER),
    refused: ["owner", STRANGER],
  },
];

function linked(base: string, owner: number): string {
  symlinkSync(directory(join(base, "real"), 0o700, ORDINARY), join(base, "d"));
  lchownSync(join(base, "d"), owner, owner);
  return join(base, "d");
}

for (const { what, make, refused } of CONNECT_ROWS) {
  test(`to connect, a directory ${what} is ${refused === undefined ? "good" : `refused (${refused[0]})`}`, (t) => {
    if (!isRoot) return t.skip("needs root to make it");
    const base = temporary(t);
    chmodSync(base, 0o711);
    const path = make(base);
    const as = asOrdinaryUser(t);
    if (refused === undefined) {
      assert.equal(as.checkConnectDirectory(path), true);
      assert.equal(as.checkConnectDirectory(path, { again: true }), true);
      return;
    }
    const [check, owner] = refused;
    assert.throws(
      () => as.checkConnectDirectory(path),
      (error) =>
        hasCode(error, "DIRECTORY_INSECURE") &&
        error.details.check === check &&
        error.details.owner === owner &&
        error.details.path === join(base, path.includes("/q/") ? "q/link" : path.includes("/p/") ? "p/d" : "d") &&
        /\((mend with: chmod 700|have uid \d+ (do: chmod go-w|remove it))/.test(error.message),
    );
  });
}

test("to connect, a missing directory is none; one that was good is checked again only when asked to", (t) => {
  const base = temporary(t);
  chmodSync(base, 0o711);
  const path = join(base, "d");
  assert.equal(files.checkConnectDirectory(path), false);
  directory(path, 0o755);
  assert.equal(files.checkConnectDirectory(path), true);
  chmodSync(path, 0o777);
  assert.equal(files.checkConnectDirectory(path), true);
  assert.throws(
    () => files.checkConnectDirectory(path, { again: true }),
    (error) => hasCode(error, "DIRECTORY_INSECURE"),
  );
});
