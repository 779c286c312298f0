/**
 * How often one backend may be launched (spec: launch §7.1): three attempts in a fixed window of 30 s, a success clears
 * the count. Unlike the reference, the end of a window never lets a second launch start beside a running one: that is
 * single flight's business, not the budget's.
 */
import { type BackendKey, keyText } from "./backend-key.ts";
import { makeRoom } from "./make-room.ts";

export const SPAWN_ATTEMPTS_PER_WINDOW = 3;
export const SPAWN_WINDOW_MS = 30_000;
/** Keys counted at one time; beyond it the oldest goes, and may be tried three times again. */
export const SPAWN_BUDGET_KEYS = 1024;

export interface SpawnBudgetRow {
  readonly key: BackendKey;
  readonly attemptsUsed: number;
  readonly remaining: number;
  /** Set when nothing remains. */
  readonly retryAfterMs?: number;
}

interface Window {
  readonly key: BackendKey;
  readonly startedMs: number;
  used: number;
}

export interface SpawnBudget {
  /** Counts an attempt. 0 when it may go ahead, else milliseconds until the window ends (at least 1). */
  begin(key: BackendKey, nowMs: number): number;
  succeeded(key: BackendKey): void;
  /** The attempt that was counted last was none: nothing was started. */
  undo(key: BackendKey): void;
  /** Sorted by the keys' texts. */
  rows(nowMs: number): SpawnBudgetRow[];
}

export function createSpawnBudget(options: { attempts?: number; windowMs?: number } = {}): SpawnBudget {
  const attempts = Math.max(1, options.attempts ?? SPAWN_ATTEMPTS_PER_WINDOW);
  const windowMs = Math.max(1, options.windowMs ?? SPAWN_WINDOW_MS);
  const windows = new Map<string, Window>();
  const current = (id: string, nowMs: number): Window | undefined => {
    const window = windows.get(id);
    if (window !== undefined && nowMs - window.startedMs >= windowMs) {
      windows.delete(id);
      return undefined;
    }
    return window;
  };
  const remainingMs = (startedMs: number, nowMs: number): number =>
    Math.max(1, Math.ceil(startedMs + windowMs - nowMs));
  return {
    begin(key, nowMs) {
      const id = keyText(key);
      const window = current(id, nowMs);
      if (window === undefined) {
        makeRoom(windows, { nowMs, windowMs, maxKeys: SPAWN_BUDGET_KEYS });
        windows.set(id, { key, startedMs: nowMs, used: 1 });
        return 0;
      }
      if (window.used >= attempts) return remainingMs(window.startedMs, nowMs);
      window.used++;
      return 0;
    },
    succeeded(key) {
      windows.delete(keyText(key));
    },
    undo(key) {
      const window = windows.get(keyText(key));
      if (window !== undefined) window.used = Math.max(0, window.used - 1);
    },
    rows(nowMs) {
      return [...windows.keys()].sort().flatMap((id) => {
        const window = current(id, nowMs);
        if (window === undefined) return [];
        const remaining = attempts - window.used;
        return [
          {
            key: window.key,
            attemptsUsed: window.used,
            remaining,
            ...(remaining === 0 && { retryAfterMs: remainingMs(window.startedMs, nowMs) }),
          },
        ];
      });
    },
  };
}
