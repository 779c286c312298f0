import assert from "node:assert/strict";
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { BrokerError } from "../base/errors.ts";
import { createFiles } from "../platform/node/files.ts";
import type { Files, LogFile, LogRotation } from "../platform/ports.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { type BackendLog, type DroppedOutput, openBackendLog } from "./backend-log.ts";

const LIMIT = 4096;
/** Of a file that is append-only, chattr(1). */
const STUCK: LogRotation = { droppedBytes: 0, emptied: false, fault: new BrokerError("IO_FAILED", "ftruncate: EPERM") };

interface Setup {
  readonly path: string;
  readonly clock: ReturnType<typeof createManualClock>;
  readonly dropped: DroppedOutput[];
  /** Something happened to the log. */
  changed(): void;
  watches(): number;
  /** Resolves when no rotation is under way, and what its end leads to has happened. */
  rotated(): Promise<void>;
  looks(): number;
  /** Called after each rotation, before the broker knows of it. */
  afterRotation(callback: () => void): void;
  /** From here on the file cannot be emptied, though it can be copied. */
  stick(): void;
  rotations(): number;
  open(maxBytes?: number): BackendLog;
}

/** Real files; only the moment at which a change is told is the test's. `watched` false: the system watches nothing. */
function setUp(t: TestContext, watched = true): Setup {
  const directory = mkdtempSync(join(tmpdir(), "log-"));
  const clock = createManualClock();
  const dropped: DroppedOutput[] = [];
  const watchers = new Set<() => void>();
  const rotations: Promise<LogRotation>[] = [];
  const logs: BackendLog[] = [];
  let looks = 0;
  let afterRotation = (): void => {};
  let stuck = false;
  const files = createFiles();
  const openLog = (path: string): LogFile => {
    const file = files.openLog(path);
    return {
      fd: file.fd,
      size: () => {
        looks++;
        return file.size();
      },
      append: (text) => file.append(text),
      mark: () => file.mark(),
      words: (maxBytes) => file.words(maxBytes),
      close: () => file.close(),
      rotate: (keepBytes) => {
        const emptied = stuck ? Promise.resolve(STUCK) : file.rotate(keepBytes);
        const rotation = emptied.finally(() => afterRotation());
        rotations.push(rotation);
        return rotation;
      },
      watch: (onChange) => {
        if (!watched) return undefined;
        watchers.add(onChange);
        return { close: () => void watchers.delete(onChange) };
      },
    };
  };
  t.after(async () => {
    for (const log of logs) log.close();
    await Promise.all(rotations);
    assert.equal(clock.pendingTimers, 0);
    rmSync(directory, { recursive: true });
  });
  return {
    path: join(directory, "svc-1.0.0.log"),
    clock,
    dropped,
    changed: () => {
      for (const watcher of [...watchers]) watcher();
    },
    watches: () => watchers.size,
    looks: () => looks,
    afterRotation: (callback) => {
      afterRotation = callback;
    },
    stick: () => {
      stuck = true;
    },
    rotations: () => rotations.length,
    rotated: async () => {
      await new Promise(setImmediate);
      for (let i = 0; i < rotations.length; i++) await rotations[i];
      await new Promise(setImmediate);
    },
    open: (maxBytes = LIMIT) => {
      const log = openBackendLog({
        files: { ensurePrivateDirectory: files.ensurePrivateDirectory, openLog } satisfies Partial<Files> as Files,
        clock,
        directory,
        service: "svc",
        version: "1.0.0",
        maxBytes,
        onDropped: (_, what) => dropped.push(what),
      });
      logs.push(log);
      return log;
    },
  };
}

test("the tail is what was written since the launch, whole lines, bounded", (t) => {
  const { path, open } = setUp(t);
  appendFileSync(path, "of an earlier launch\n");
  const log = open(1_000_000);
  assert.equal(log.tail(), "");
  writeSync(log.fd as number, "first\nsecond\n");
  assert.equal(log.tail(), "first\nsecond");
  writeSync(log.fd as number, `${"x".repeat(3000)}\n${"y".repeat(3000)}\nlast`);
  assert.equal(log.tail(), `${"y".repeat(3000)}\nlast`);
  log.close();
  assert.equal(log.tail(), `${"y".repeat(3000)}\nlast`);
});

test("a quiet log is watched and costs no look; a change that is no writing is over with one", (t) => {
  const { clock, changed, watches, looks, open } = setUp(t);
  open();
  const before = looks();
  clock.advance(3_600_000);
  assert.deepEqual([looks() - before, clock.pendingTimers, watches()], [0, 0, 1]);
  changed();
  assert.deepEqual([clock.pendingTimers, watches()], [0, 1]);
});

test("a log that is written to is looked at after rests, and watched again when nothing new has come", (t) => {
  const { clock, changed, watches, open } = setUp(t);
  const log = open();
  writeSync(log.fd as number, "a");
  changed();
  // Every write would be told while it is watched.
  assert.equal(watches(), 0);
  clock.advance(20);
  assert.deepEqual([watches(), clock.pendingTimers], [1, 0]);
});

test("who writes little and often is looked at four times a second, who comes near the limit at once", async (t) => {
  const { clock, changed, watches, looks, rotated, open } = setUp(t);
  const log = open(1_000_000);
  const fd = log.fd as number;
  for (let i = 0; i < 500; i++) {
    writeSync(fd, "a line\n");
    if (watches() > 0) changed();
    clock.advance(10);
  }
  const before = looks();
  for (let i = 0; i < 500; i++) {
    writeSync(fd, "a line\n");
    if (watches() > 0) changed();
    clock.advance(10);
  }
  assert.ok(looks() - before <= 40, `${looks() - before} looks in five seconds`);
  // Half the limit in each rest from here on.
  const fast = looks();
  for (let i = 0; i < 50; i++) {
    writeSync(fd, "x".repeat(200_000));
    clock.advance(10);
    await rotated();
  }
  assert.ok(looks() - fast >= 20, `${looks() - fast} looks in half a second`);
});

test("a log that reaches its limit is emptied, its older file has what it held, and both stay within the limit", async (t) => {
  const { path, clock, changed, rotated, dropped, open } = setUp(t);
  const log = open();
  const fd = log.fd as number;
  writeSync(fd, "a".repeat(LIMIT - 100));
  changed();
  await rotated();
  assert.deepEqual([statSync(path).size, readFileSync(`${path}.1`, "utf8")], [0, "a".repeat(LIMIT - 100)]);
  writeSync(fd, "b\n".repeat(50_000));
  clock.advance(20);
  await rotated();
  assert.equal(statSync(path).size, 0);
  assert.match(readFileSync(`${path}.1`, "utf8"), /^\[rpb: \d+ bytes dropped\]\n(b\n)+$/);
  assert.ok(statSync(`${path}.1`).size <= LIMIT);
  writeSync(fd, "after\n");
  assert.equal(readFileSync(path, "utf8"), "after\n");
  // What was said before that is still part of this launch.
  assert.match(log.tail(), /^(b\n)+after$/);
  assert.equal(dropped.length, 0);
  clock.advance(10_000);
  assert.deepEqual(
    dropped.map(({ bytes, fault }) => [bytes > 95_000, fault]),
    [[true, undefined]],
  );
});

test("what was dropped since the last report is told at the end", async (t) => {
  const { changed, rotated, dropped, open } = setUp(t);
  const log = open();
  writeSync(log.fd as number, "b\n".repeat(50_000));
  changed();
  await rotated();
  log.close();
  assert.equal(dropped.length, 1);
  await rotated();
  assert.equal(dropped.length, 1);
});

test("a log that is too large from an earlier launch is emptied; its words are not those of this launch", async (t) => {
  const { path, rotated, open } = setUp(t);
  appendFileSync(path, "old\n".repeat(5000));
  const log = open();
  await rotated();
  assert.equal(statSync(path).size, 0);
  assert.equal(log.tail(), "");
  writeSync(log.fd as number, "new\n");
  assert.equal(log.tail(), "new");
});

// A process that cannot get an inotify watch (fs.inotify.max_user_instances) had unbounded logs.
test("where the system watches nothing, a log is looked at once a second and bounded all the same", async (t) => {
  const { path, clock, rotated, open } = setUp(t, false);
  const log = open();
  clock.advance(5_000);
  writeSync(log.fd as number, "a".repeat(3 * LIMIT));
  clock.advance(1_000);
  await rotated();
  assert.ok(statSync(path).size <= LIMIT && statSync(`${path}.1`).size <= LIMIT);
});

test("a closed log is neither watched nor looked at any more, and its descriptor is closed once", (t) => {
  const { path, clock, changed, watches, open } = setUp(t);
  const log = open();
  writeSync(log.fd as number, "a");
  changed();
  log.close();
  const another = open();
  // Another file has that number now; it must stay open.
  log.close();
  writeSync(another.fd as number, "b");
  another.close();
  appendFileSync(path, "b".repeat(5000));
  changed();
  clock.advance(10_000);
  assert.deepEqual([watches(), clock.pendingTimers], [0, 0]);
  assert.equal(readFileSync(path, "utf8").length, 5002);
  assert.throws(() => writeSync(another.fd as number, "x"), { code: "EBADF" });
});

// What had come by the time of the next look was taken for what the rotation had left.
test("what fills a log right after it was emptied is seen", async (t) => {
  const { path, clock, changed, rotated, afterRotation, open } = setUp(t);
  const log = open();
  const fd = log.fd as number;
  afterRotation(() => {
    afterRotation(() => {});
    writeSync(fd, "b".repeat(3 * LIMIT));
  });
  writeSync(fd, "a".repeat(LIMIT));
  changed();
  await rotated();
  assert.equal(statSync(path).size, 3 * LIMIT);
  clock.advance(20);
  await rotated();
  assert.equal(statSync(path).size, 0);
});

// The broker would not look at it any more before the next launch of this version.
test("the output of a backend that floods and ends is brought within the limit after its end", async (t) => {
  const { path, rotated, dropped, open } = setUp(t);
  const log = open();
  writeSync(log.fd as number, `${"c\n".repeat(50_000)}the end\n`);
  log.close();
  assert.match(log.tail(), /c\nthe end$/);
  await rotated();
  assert.equal(statSync(path).size, 0);
  assert.match(readFileSync(`${path}.1`, "utf8"), /c\nthe end\n$/);
  assert.equal(dropped.length, 1);
  assert.throws(() => writeSync(log.fd as number, "x"), { code: "EBADF" });
});

test("a log that another process looks after from now on is left as it is", (t) => {
  const { path, watches, open } = setUp(t);
  const log = open();
  writeSync(log.fd as number, "d".repeat(3 * LIMIT));
  log.letGo();
  assert.deepEqual([watches(), statSync(path).size, existsSync(`${path}.1`)], [0, 3 * LIMIT, false]);
  assert.throws(() => writeSync(log.fd as number, "x"), { code: "EBADF" });
});

test("a log that cannot be opened says why and is empty", (t) => {
  const { path, open } = setUp(t);
  chmodSync(join(path, ".."), 0o755);
  const log = open();
  assert.equal(log.fd, undefined);
  assert.match(log.fault ?? "", /insecure permissions 0755/);
  assert.equal(log.tail(), "");
  log.close();
  assert.equal(existsSync(path), false);
});

/** Guards against a copy of the whole limit at every look, four times a second and more. */
test("a log that cannot be emptied is copied again only when a whole limit of new output has come", async (t) => {
  const { clock, open, changed, rotated, rotations, stick } = setUp(t);
  const log = open();
  stick();
  const write = async (bytes: number): Promise<void> => {
    writeSync(log.fd as number, "x".repeat(bytes));
    changed();
    clock.advance(1_000);
    await rotated();
    clock.advance(1_000);
    await rotated();
  };
  await write(LIMIT);
  assert.equal(rotations(), 1);
  for (let i = 0; i < 7; i++) await write(LIMIT / 8);
  assert.equal(rotations(), 1);
  await write(LIMIT / 8);
  assert.equal(rotations(), 2);
});
