import assert from "node:assert/strict";
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { createFiles } from "../platform/node/files.ts";
import type { Files } from "../platform/ports.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { type BackendLog, openBackendLog } from "./backend-log.ts";

interface Setup {
  readonly path: string;
  readonly clock: ReturnType<typeof createManualClock>;
  /** Something happened to the log. */
  changed(): void;
  watches(): number;
  open(maxBytes?: number): BackendLog;
}

/** Real files; only the moment at which a change is told is the test's. */
function setUp(t: TestContext): Setup {
  const directory = mkdtempSync(join(tmpdir(), "log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const clock = createManualClock();
  const watchers = new Set<() => void>();
  const files: Files = {
    ...createFiles(),
    watch: (_, onChange) => {
      watchers.add(onChange);
      return { close: () => void watchers.delete(onChange) };
    },
  };
  return {
    path: join(directory, "svc-1.0.0.log"),
    clock,
    changed: () => {
      for (const watcher of [...watchers]) watcher();
    },
    watches: () => watchers.size,
    open: (maxBytes = 4096) => openBackendLog({ files, clock, directory, service: "svc", version: "1.0.0", maxBytes }),
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
});

test("a log that is too large is moved aside at once, then looked at in intervals however busy it is", (t) => {
  const { path, clock, changed, watches, open } = setUp(t);
  const log = open();
  const fd = log.fd as number;
  writeSync(fd, "a".repeat(5000));
  changed();
  assert.equal(readFileSync(path, "utf8"), "");
  assert.equal(readFileSync(`${path}.1`, "utf8"), "a".repeat(5000));
  assert.equal(watches(), 0);
  writeSync(fd, "b".repeat(5000));
  changed();
  assert.equal(readFileSync(path, "utf8").length, 5000);
  clock.advance(500);
  assert.equal(readFileSync(path, "utf8"), "");
  assert.equal(readFileSync(`${path}.1`, "utf8"), "b".repeat(5000));
  assert.equal(watches(), 1);
  // Its writer goes on at the start of the file that was emptied under it.
  writeSync(fd, "after\n");
  assert.equal(readFileSync(path, "utf8"), "after\n");
  // What was said before that is still part of this launch.
  assert.match(log.tail(), /^b{4000,4096}after$/);
  log.close();
});

test("the descriptor is closed when it was handed over, once, and by close when it was not", (t) => {
  const { open } = setUp(t);
  const handed = open();
  handed.handedOver();
  assert.throws(() => writeSync(handed.fd as number, "x"), { code: "EBADF" });
  // Another file may have that number now; it must stay open.
  const other = open();
  handed.close();
  writeSync(other.fd as number, "x");
  other.close();
  assert.throws(() => writeSync(other.fd as number, "x"), { code: "EBADF" });
});

test("a closed log is neither watched nor looked at any more", (t) => {
  const { path, clock, changed, watches, open } = setUp(t);
  const log = open();
  writeSync(log.fd as number, "a".repeat(5000));
  changed();
  log.close();
  appendFileSync(path, "b".repeat(5000));
  clock.advance(10_000);
  assert.deepEqual([watches(), clock.pendingTimers], [0, 0]);
  assert.equal(readFileSync(path, "utf8").length, 5000);
});

test("a log that cannot be opened says why and is empty", (t) => {
  const { path, open } = setUp(t);
  chmodSync(join(path, ".."), 0o755);
  const log = open();
  assert.equal(log.fd, undefined);
  assert.match(log.fault ?? "", /insecure permissions 0755/);
  assert.equal(log.tail(), "");
  log.handedOver();
  log.close();
  assert.equal(existsSync(path), false);
});
