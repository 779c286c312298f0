/** Backend logs in a directory of their own. The test reports their changes and awaits their rotations. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { BrokerError } from "../../../src/base/errors.ts";
import type { DroppedOutput } from "../../../src/broker/events/reports.ts";
import { type BackendLog, openBackendLog } from "../../../src/broker/launch/backend-log.ts";
import type { Files, LogFile, LogRotation } from "../../../src/platform/ports/index.ts";
import { createFiles } from "../../../src/platform/posix/files/files.ts";
import { createManualClock } from "../../../src/testing/manual-clock.ts";

export const LIMIT = 4096;
/** Of a file that is append-only, chattr(1). */
const STUCK: LogRotation = { droppedBytes: 0, emptied: false, fault: new BrokerError("IO_FAILED", "ftruncate: EPERM") };

export interface Setup {
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
export function setUp(t: TestContext, watched = true): Setup {
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
      transferable: file.transferable,
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
        files: {
          ensurePrivateDirectory: files.ensurePrivateDirectory,
          openLog,
          paths: files.paths,
        } satisfies Partial<Files> as Files,
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
