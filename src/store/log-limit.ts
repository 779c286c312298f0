/**
 * When a log that is kept within a limit is emptied. It is full before it has reached the limit: what is written while it is
 * being emptied still fits into the older file.
 */
const FULL = 7 / 8;

export interface LogLimit {
  /** Is a log of this size to be emptied now? */
  isFull(bytes: number): boolean;
  /** Has it more than what is left of a log that was emptied, or than a copy of it that could not be taken away has? */
  hasContent(bytes: number): boolean;
  /** It begins anew. */
  emptied(): void;
  /** It could not be emptied and has `bytes` still, all of which were copied: it is full again when the copy is old. */
  stuck(bytes: number): void;
}

/** `maxBytes`: of the log and of its older file, each. */
export function createLogLimit(maxBytes: number): LogLimit {
  let stuckBytes: number | undefined;
  return {
    isFull: (bytes) => bytes >= (stuckBytes === undefined ? maxBytes * FULL : stuckBytes + maxBytes),
    hasContent: (bytes) => bytes > Math.max(maxBytes * (1 - FULL), stuckBytes ?? 0),
    emptied() {
      stuckBytes = undefined;
    },
    stuck(bytes) {
      stuckBytes = bytes;
    },
  };
}
