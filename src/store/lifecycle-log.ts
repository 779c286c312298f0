/**
 * The file of lifecycle events: one for all brokers of a user, so that it tells one story. Every record is one append;
 * the kernel keeps appends of different processes apart. One older file is kept beside it.
 *
 * Rotation is a rename under a lock. Whoever still has the renamed file open notices at its next record; a record that
 * went into a file nobody can find any more is written again.
 */
import { BrokerError, isBrokerError } from "../base/errors.ts";
import { sameFile } from "../model/file-identity.ts";
import type { FileFacts, OpenFile, Platform } from "../platform/ports/index.ts";

export const LIFECYCLE_FILE = "lifecycle.jsonl";
/** Thousands of records; see model/event-folding.ts for why busy days fit. */
export const LIFECYCLE_FILE_BYTES = 1024 * 1024;
/** When the file cannot be rotated, it stops growing here. */
const HARD_LIMIT = 4;
/** No writer of ours makes a file larger than this, but for its last record. */
export const LIFECYCLE_MOST_BYTES = HARD_LIMIT * LIFECYCLE_FILE_BYTES;
const MAX_ATTEMPTS = 3;

export interface LifecycleLog {
  readonly path: string;
  /**
   * Appends one line (with its end) to the current file, which is created with its directory when it is not there.
   *
   * @throws BrokerError IO_FAILED (ENOSPC, …), DIRECTORY_INSECURE, FILE_INSECURE; the record is lost, the next may fit
   */
  append(line: string): void;
  close(): void;
}

export interface LifecycleLogOptions {
  readonly platform: Pick<Platform, "files" | "locks">;
  readonly directory: string;
  /** Size at which the file is rotated. Default 1 MiB. */
  readonly maxBytes?: number;
}

export function createLifecycleLog(options: LifecycleLogOptions): LifecycleLog {
  return new SharedLog(options);
}

class SharedLog implements LifecycleLog {
  readonly path: string;
  private readonly maxBytes: number;
  private file: { readonly open: OpenFile; readonly facts: FileFacts } | undefined;

  constructor(private readonly options: LifecycleLogOptions) {
    this.path = options.platform.files.paths.join(options.directory, LIFECYCLE_FILE);
    this.maxBytes = options.maxBytes ?? LIFECYCLE_FILE_BYTES;
  }

  append(line: string): void {
    const bytes = Buffer.from(line);
    for (let attempt = 1; ; attempt++) {
      const file = this.current();
      const written = file.append(bytes);
      if (written < bytes.length) throw noRoom(this.path, written, bytes.length);
      if (file.linked() || attempt === MAX_ATTEMPTS) return;
    }
  }

  close(): void {
    this.file?.open.close();
    this.file = undefined;
  }

  /** The file at the path, opened once, with room in it. */
  private current(): OpenFile {
    const { files } = this.options.platform;
    const there = files.facts(this.path);
    if (this.file !== undefined && !sameFile(there, this.file.facts)) this.close();
    if (this.file !== undefined && there !== undefined && Number(there.size) > this.maxBytes) {
      this.rotate(there);
      this.close();
    }
    if (this.file === undefined) {
      files.ensurePrivateDirectory(this.options.directory);
      const open = files.open(this.path, "append");
      this.file = { open, facts: open.facts() };
    }
    return this.file.open;
  }

  /** @throws BrokerError when it is too large to go on without */
  private rotate(large: FileFacts): void {
    const { files, locks } = this.options.platform;
    try {
      const lock = locks.tryAcquire(`${this.path}.lock`);
      // Somebody else is at it.
      if (lock === undefined) return;
      try {
        if (sameFile(files.facts(this.path), large)) files.rename(this.path, `${this.path}.1`);
      } finally {
        lock.release();
      }
    } catch (error) {
      if (!isBrokerError(error) || Number(large.size) > HARD_LIMIT * this.maxBytes) throw error;
    }
  }
}

function noRoom(path: string, written: number, wanted: number): BrokerError {
  return new BrokerError("IO_FAILED", `write ${path} failed: ENOSPC after ${written} of ${wanted} bytes`, {
    details: { path, syscall: "write", errno: "ENOSPC" },
  });
}
