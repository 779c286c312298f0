/** What a backend's author may want to do when the broker asks. */

export interface ReleaseHandlesRequest {
  /** Absolute and normalised, without a slash at its end. */
  readonly path: string;
  /** Is this absolute, normalised path at or below it? By whole components: `/a/b` does not cover `/a/bc`. */
  covers(other: string): boolean;
  /** Fires when nobody waits for the outcome any more. */
  readonly signal: AbortSignal;
}

export interface QuiesceRequest {
  /**
   * `idle-timeout`: only asked, and gone through with, while there is no work. `broker-shutdown`, `maintenance`: work in
   * flight is finished first, however long it takes.
   */
  readonly reason: "idle-timeout" | "broker-shutdown" | "maintenance";
}

export interface ControlHooks {
  /**
   * Somebody wants to move or delete a path: close files, directories and watches at and below it, leave it as working
   * directory. True: something was let go; false: nothing was held. What it throws is the reason why it could not.
   * Without it the broker is told that this backend has no means.
   */
  onReleaseHandles?(request: ReleaseHandlesRequest): boolean | Promise<boolean>;
  /**
   * The broker wants this backend to end. False refuses, and the backend serves on; so it does when it throws. Work that
   * comes in before it resolves can keep an idle backend from ending all the same.
   */
  onQuiesce?(request: QuiesceRequest): void | boolean | Promise<void> | Promise<boolean>;
}
