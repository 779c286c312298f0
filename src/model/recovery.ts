/**
 * After crashes of a backend that had been ready (spec: launch §8.4, within the attempts of §7.1): the next launch is at
 * once, the one after the second crash in a window waits, after the third there is none until the window is over. A
 * launch that succeeds clears the spawn budget but not this, or a backend that crashes right after it is ready would be
 * launched for ever. Nothing lasts: a backend that stays up, and the end of the window, clear it. What happened last is
 * kept for people, as long as it counts.
 */
import { type BackendKey, keyText } from "./backend-key.ts";
import { makeRoom } from "./make-room.ts";
import { SPAWN_ATTEMPTS_PER_WINDOW, SPAWN_WINDOW_MS } from "./spawn-budget.ts";

/** Before the launch that follows the second crash in a window; the first is followed at once. */
export const CRASH_BACKOFF_MS = 250;
/** A backend that has been up for this long has not crashed "right after ready": the next launch is a first one again. */
export const STABLE_MS = 10_000;
/** Keys kept at one time, each with up to 4 KiB of its last output; beyond it the oldest is forgotten. */
export const RECOVERY_KEYS = 256;

/** How a backend that was ready, or a launch, ended that nobody wanted to end. */
export interface CrashFacts {
  /** `status 3`, `signal SIGSEGV`, or `unknown` for an adopted backend. */
  readonly exit: string;
  readonly logTail: string;
  readonly atUnixMs: number;
}

export interface CrashRow extends CrashFacts {
  readonly key: BackendKey;
  readonly crashes: number;
}

export interface Recovery {
  /** Returns how often it has crashed in this window. */
  crashed(key: BackendKey, nowMs: number, facts: CrashFacts): number;
  /** How long the next launch has to wait. */
  delayMs(key: BackendKey, nowMs: number): number;
  /** 0 when there may be a launch, else milliseconds until there may be (at least 1). */
  refusedMs(key: BackendKey, nowMs: number): number;
  /** It is up and stays up, or something else is launched now. */
  forget(key: BackendKey): void;
  last(key: BackendKey, nowMs: number): CrashRow | undefined;
  /** Sorted by the keys' texts. */
  rows(nowMs: number): readonly CrashRow[];
}

interface Window {
  readonly key: BackendKey;
  readonly startedMs: number;
  crashedMs: number;
  crashes: number;
  facts: CrashFacts;
}

export function createRecovery(): Recovery {
  const windows = new Map<string, Window>();
  const current = (id: string, nowMs: number): Window | undefined => {
    const window = windows.get(id);
    if (window === undefined || nowMs - window.startedMs < SPAWN_WINDOW_MS) return window;
    windows.delete(id);
    return undefined;
  };
  const rowOf = (id: string, nowMs: number): CrashRow | undefined => {
    const window = current(id, nowMs);
    return window && { key: window.key, crashes: window.crashes, ...window.facts };
  };
  return {
    crashed(key, nowMs, facts) {
      const id = keyText(key);
      const window = current(id, nowMs);
      if (window === undefined) {
        makeRoom(windows, { nowMs, windowMs: SPAWN_WINDOW_MS, maxKeys: RECOVERY_KEYS });
        windows.set(id, { key, startedMs: nowMs, crashedMs: nowMs, crashes: 1, facts });
        return 1;
      }
      window.crashes++;
      window.crashedMs = nowMs;
      window.facts = facts;
      return window.crashes;
    },
    delayMs(key, nowMs) {
      const window = current(keyText(key), nowMs);
      if (window === undefined || window.crashes < 2) return 0;
      return Math.max(0, Math.ceil(window.crashedMs + CRASH_BACKOFF_MS - nowMs));
    },
    refusedMs(key, nowMs) {
      const window = current(keyText(key), nowMs);
      if (window === undefined || window.crashes < SPAWN_ATTEMPTS_PER_WINDOW) return 0;
      return Math.max(1, Math.ceil(window.startedMs + SPAWN_WINDOW_MS - nowMs));
    },
    forget: (key) => void windows.delete(keyText(key)),
    last: (key, nowMs) => rowOf(keyText(key), nowMs),
    rows: (nowMs) => [...windows.keys()].sort().flatMap((id) => rowOf(id, nowMs) ?? []),
  };
}
