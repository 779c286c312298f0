/** Exclusive locks on files. */
import type { Deadline } from "../../base/clock.ts";
import type { Received, Transferable } from "./passing.ts";

/** An exclusive lock on a file, gone with the process that holds it. */
export interface FileLock {
  readonly path: string;
  /** A process that is given a duplicate holds the lock, too. */
  readonly transferable: Transferable;
  /** Does its path still lead to it? A lock whose file was removed keeps no process away. @throws BrokerError IO_FAILED */
  isCurrent(): boolean;
  /** Text in the lock file, for people who look; empty until set, and where there is no room for it. Never throws. */
  describe(text: string): void;
  /** Removes the file, when it still is the one that was locked, and lets go. Never throws: a file that stays is no lock. */
  release(): void;
  /** Closes the descriptor only: for another process that has a duplicate the lock goes on. Never throws. */
  abandon(): void;
}

export interface Locks {
  /**
   * Undefined when another process holds it. A file that was unlinked or replaced between open and lock is retried.
   *
   * @throws BrokerError IO_FAILED, FILE_INSECURE
   */
  tryAcquire(path: string): FileLock | undefined;
  /**
   * A lock that another process holds and gave us a duplicate of. Consumes `received`, also on failure.
   *
   * @throws BrokerError FILE_INSECURE (not a lock file of ours, or another process holds it), IO_FAILED
   */
  adopt(received: Received, path: string): FileLock;
  /** Waits for a lock. @throws BrokerError DEADLINE_EXCEEDED, IO_FAILED, FILE_INSECURE */
  acquire(path: string, deadline: Deadline): Promise<FileLock>;
}
