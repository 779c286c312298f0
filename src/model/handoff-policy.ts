/**
 * May this connection be handed over, or is the client to reconnect (spec: handoff §5, §13)? Whatever the reason, a
 * client that is not handed over dials `backend_pipe` and sees no error.
 */
import type { HandoffSettings } from "./exec-settings.ts";
import { makeRoom } from "./make-room.ts";

export type FallbackReason =
  | "client-unsupported"
  | "service-policy-disabled"
  | "fd-pressure-disabled"
  | "adopted-backend"
  | "failed-attempt-rate-limited"
  | "permission-denied"
  | "integrity-mismatch"
  | "backend-ack-timeout";

export interface FallbackReasonRow {
  /** Does it use up the backend's failure budget? */
  readonly counted: boolean;
  /** Does the decision say when a handoff may be tried again? */
  readonly retryHint: boolean;
  readonly about: string;
}

export const FALLBACK_REASONS: Readonly<Record<FallbackReason, FallbackReasonRow>> = {
  "client-unsupported": { counted: false, retryHint: false, about: "the client did not offer to take part" },
  "service-policy-disabled": {
    counted: false,
    retryHint: false,
    about: "the service's definition says no, or there is no way to reach the backend",
  },
  "fd-pressure-disabled": { counted: false, retryHint: false, about: "the broker is short of descriptors" },
  "adopted-backend": { counted: false, retryHint: false, about: "the backend was found running, not launched" },
  "failed-attempt-rate-limited": {
    counted: false,
    retryHint: true,
    about: "too many attempts failed of late, or the service's attempts of this minute are used up",
  },
  "permission-denied": { counted: true, retryHint: false, about: "the system refused to pass the connection" },
  "integrity-mismatch": {
    counted: true,
    retryHint: false,
    about: "broker and backend run at different integrity levels",
  },
  "backend-ack-timeout": { counted: true, retryHint: false, about: "the backend did not take the connection over" },
};

/** Failures of one backend in one window after which attempts pause until the window ends. Frozen. */
export const FAILURES_PER_WINDOW = 8;
/** Frozen. */
export const FAILURE_WINDOW_MS = 30_000;
const ATTEMPT_WINDOW_MS = 60_000;
/** Backends that are counted; the one counted longest is forgotten for a new one. */
const MAX_KEYS = 1024;

export interface HandoffCandidate {
  /** Names the backend. */
  readonly key: string;
  /** Bit 0 of the client's capabilities. */
  readonly clientSupports: boolean;
  /** There is a way to pass a connection to this backend on this system. */
  readonly transportAvailable: boolean;
  readonly settings: HandoffSettings;
  /** The broker is demoted for want of descriptors. */
  readonly fdPressure: boolean;
  /** The backend was found running rather than launched by this broker. */
  readonly adopted: boolean;
}

export type HandoffDecision =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: FallbackReason; readonly retryAfterMs?: number };

/** Times are monotonic milliseconds. */
export interface HandoffPolicy {
  /** Decides and, when it says yes, counts the attempt. The first reason in the order of the spec wins. */
  decide(candidate: HandoffCandidate, nowMs: number): HandoffDecision;
  /** Uses the failure budget for the reasons that count. */
  recordFailure(key: string, reason: FallbackReason, nowMs: number): void;
  /** Clears the failures of the backend; its attempts stay counted. */
  recordSuccess(key: string): void;
  /** Failures in the current window, at most the budget. */
  failures(key: string, nowMs: number): number;
}

export function createHandoffPolicy(options: { failures?: number; windowMs?: number } = {}): HandoffPolicy {
  const budget = Math.max(1, options.failures ?? FAILURES_PER_WINDOW);
  const failures = createWindows(Math.max(1, options.windowMs ?? FAILURE_WINDOW_MS));
  const attempts = createWindows(ATTEMPT_WINDOW_MS);
  const limited = (windows: Windows, key: string, nowMs: number): HandoffDecision => ({
    ok: false,
    reason: "failed-attempt-rate-limited",
    retryAfterMs: windows.remainingMs(key, nowMs),
  });
  return {
    decide(candidate, nowMs) {
      const { key, settings } = candidate;
      if (!candidate.clientSupports) return { ok: false, reason: "client-unsupported" };
      if (!settings.enabled || !candidate.transportAvailable) return { ok: false, reason: "service-policy-disabled" };
      if (candidate.fdPressure && settings.disableUnderFdPressure) return { ok: false, reason: "fd-pressure-disabled" };
      if (candidate.adopted) return { ok: false, reason: "adopted-backend" };
      if (failures.used(key, nowMs) >= budget) return limited(failures, key, nowMs);
      const perMinute = settings.maxAttemptsPerMinute;
      if (perMinute === undefined) return { ok: true };
      if (attempts.used(key, nowMs) >= perMinute) return limited(attempts, key, nowMs);
      attempts.count(key, nowMs);
      return { ok: true };
    },
    recordFailure(key, reason, nowMs) {
      if (FALLBACK_REASONS[reason].counted && failures.used(key, nowMs) < budget) failures.count(key, nowMs);
    },
    recordSuccess(key) {
      failures.clear(key);
    },
    failures: (key, nowMs) => failures.used(key, nowMs),
  };
}

interface Windows {
  used(key: string, nowMs: number): number;
  count(key: string, nowMs: number): void;
  /** At least 1, for a key that was counted. */
  remainingMs(key: string, nowMs: number): number;
  clear(key: string): void;
}

/** Counts per key in a fixed window that begins with the first count. */
function createWindows(windowMs: number): Windows {
  const windows = new Map<string, { startedMs: number; used: number }>();
  const current = (key: string, nowMs: number): { startedMs: number; used: number } | undefined => {
    const window = windows.get(key);
    return window !== undefined && nowMs - window.startedMs < windowMs ? window : undefined;
  };
  return {
    used: (key, nowMs) => current(key, nowMs)?.used ?? 0,
    count(key, nowMs) {
      const window = current(key, nowMs);
      if (window !== undefined) {
        window.used++;
        return;
      }
      // An old one of the key is over, and so goes with it.
      makeRoom(windows, { nowMs, windowMs, maxKeys: MAX_KEYS });
      windows.set(key, { startedMs: nowMs, used: 1 });
    },
    remainingMs(key, nowMs) {
      const startedMs = windows.get(key)?.startedMs ?? nowMs;
      return Math.max(1, Math.ceil(startedMs + windowMs - nowMs));
    },
    clear: (key) => void windows.delete(key),
  };
}
