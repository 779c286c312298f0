/** Which directories are trusted, as a table; none is ever repaired. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { Deadline } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import { createFiles } from "../../src/platform/node/files.ts";
import { loadPlatform, systemClock } from "../../src/platform/platform.ts";
import type { Files } from "../../src/platform/ports.ts";

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

/** Not the one of `STRANGER`, and no account. */
const ORDINARY = 65533;
/** Runs of these tests side by side do not share it. */
const UNUSED_UID = 1_000_000_000 + process.pid;

/**
 * Files as an ordinary user sees them; the process is that user until the test ends. `base` becomes that user's. Without
 * root it is the user who runs the tests.
 */
function asOrdinaryUser(t: TestContext, base?: string, uid = ORDINARY): Files {
  if (!isRoot) return createFiles();
  if (base !== undefined) chownSync(base, uid, uid);
  process.setegid?.(uid);
  process.seteuid?.(uid);
  t.after(becomeRoot);
  return createFiles();
}

function becomeRoot(): void {
  if (!isRoot) return;
  process.seteuid?.(0);
  process.setegid?.(0);
}

function setUmask(t: TestContext, umask: number): void {
  const before = process.umask(umask);
  t.after(() => process.umask(before));
}

function temporary(t: TestContext): string {
  const base = mkdtempSync(join(tmpdir(), "p"));
  t.after(() => {
    // Hooks run in the order of their registration.
    becomeRoot();
    rmSync(base, { recursive: true });
  });
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
