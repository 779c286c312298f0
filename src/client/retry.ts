/**
 * When a failed attempt is worth another one within the same call, and after how long. A Hello may be repeated: it asks
 * for something and changes nothing that a second one would not find. Everything not listed is final.
 */
import type { BrokerError, BrokerErrorCode } from "../base/errors.ts";

interface RetryRow {
  /** `backoff`: soon, and less soon each time. `hint`: when the broker says. */
  readonly when: "backoff" | "hint";
  /** Failures of this kind that one call puts up with. */
  readonly limit: number;
}

const RETRY: Partial<Record<BrokerErrorCode, RetryRow>> = {
  SHUTTING_DOWN: { when: "backoff", limit: 20 },
  // The broker died under us. One that does so at every Hello is not started over and over.
  CONNECTION_CLOSED: { when: "backoff", limit: 5 },
  // The backend went away between the broker's word and our dial; the broker sees it within a tenth of a second.
  BACKEND_UNREACHABLE: { when: "backoff", limit: 20 },
  RATE_LIMITED: { when: "hint", limit: 20 },
  FD_PRESSURE: { when: "hint", limit: 20 },
};

const BACKOFF_MS = [10, 20, 50, 100, 200] as const;
const BACKOFF_CAP_MS = 250;

/** Milliseconds before try number `round` (from 0): 10, 20, 50, 100, 200, then 200, each up to a quarter longer or shorter. */
export function backoffMs(round: number, random: () => number = Math.random): number {
  const base = BACKOFF_MS[Math.min(round, BACKOFF_MS.length - 1)] ?? BACKOFF_CAP_MS;
  return Math.min(BACKOFF_CAP_MS, base * (0.75 + random() / 2));
}

export interface RetryPolicy {
  /** Milliseconds until the next attempt; undefined when there is none or it would not fit into `remainingMs`. */
  next(error: BrokerError, remainingMs: number): number | undefined;
}

/** One per call: it counts. */
export function createRetryPolicy(random?: () => number): RetryPolicy {
  const failures = new Map<BrokerErrorCode, number>();
  return {
    next(error, remainingMs) {
      const row = RETRY[error.code];
      if (row === undefined) return undefined;
      const count = (failures.get(error.code) ?? 0) + 1;
      failures.set(error.code, count);
      const hint = row.when === "hint" ? error.details.retryAfterMs : undefined;
      const waitMs = hint ?? backoffMs(count - 1, random);
      return count <= row.limit && waitMs < remainingMs ? waitMs : undefined;
    },
  };
}
