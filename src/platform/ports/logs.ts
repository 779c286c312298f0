/** Logs that processes of ours write to. */
import type { Transferable } from "./passing.ts";

/** A log that other processes append to through a descriptor they inherit. It stays the same file, whatever is put at its path. */
export interface LogFile {
  /** Lent, for a child's stdout and stderr. For reading and appending. */
  readonly transferable: Transferable;
  /** Of the open file. @throws BrokerError IO_FAILED */
  size(): number;
  /** @throws BrokerError IO_FAILED (ENOSPC, …); some of it may have been written */
  append(text: string): void;
  /** What is written from here on, by anybody, is what `words` tells. Until the first call: all there is. */
  mark(): void;
  /**
   * The last words since the mark: at most `maxBytes`, whole lines if one ends in them, also of what has been rotated
   * meanwhile (up to 4 KiB of it). Empty once closed.
   *
   * @throws BrokerError IO_FAILED
   */
  words(maxBytes: number): string;
  /**
   * Empties the file, after copying at most its last `keepBytes` to `PATH.1`, which is replaced. Neither file is beyond
   * `keepBytes` then, nothing is dropped when the writer pauses and the file has at most `keepBytes`, and each place where
   * bytes are missing has a line `[rpb: N bytes dropped]`. Done in slices beside the event loop; calls during a rotation
   * join it. Once closed it does nothing. Never rejects.
   */
  rotate(keepBytes: number): Promise<LogRotation>;
  /** Calls back when the open file changes, until closed. Undefined where it cannot be watched. */
  watch(onChange: () => void): { close(): void } | undefined;
  /** Closes the descriptor, at the end of a rotation that is under way, which stops where it is. */
  close(): void;
}

export interface LogRotation {
  /** In neither file now. What a writer adds between two system calls may be missing from the count. */
  readonly droppedBytes: number;
  /** False: the file cannot be emptied, and `fault` says why (EPERM of an append-only file, see chattr(1)), or the log is closed. */
  readonly emptied: boolean;
  /** Why there is no older file now: ENOSPC, something else at its path. */
  readonly fault?: unknown;
}

export interface Logs {
  /**
   * Opens a log, creating it, and gives it mode 0600. What is there must be a regular file of ours; links are not followed,
   * and a FIFO is not waited for. No child inherits it unasked. The caller closes it.
   *
   * @throws BrokerError FILE_INSECURE, IO_FAILED (ENOSPC, EMFILE, …)
   */
  openLog(path: string): LogFile;
}
