/** Fixed-window limit per key (spec: server §6.4). Windows that are over are forgotten, so keys cannot pile up. */

export const HELLOS_PER_SECOND = 256;
const WINDOW_MS = 1000;
/** Keys looked at before expired ones are swept. */
const SWEEP_AT = 1024;

export interface RateLimiter {
  /** 0 when allowed, else milliseconds until the window ends (at least 1). `nowMs` is monotonic. */
  take(key: string | number, nowMs: number): number;
}

/** `limit` 0 turns it off. */
export function createRateLimiter(limit: number, windowMs: number = WINDOW_MS): RateLimiter {
  const windows = new Map<string | number, { startedMs: number; used: number }>();
  return {
    take(key, nowMs) {
      if (limit === 0) return 0;
      const window = windows.get(key);
      if (window === undefined || nowMs - window.startedMs >= windowMs) {
        if (window === undefined && windows.size >= SWEEP_AT) sweep(windows, nowMs, windowMs);
        windows.set(key, { startedMs: nowMs, used: 1 });
        return 0;
      }
      if (window.used < limit) {
        window.used++;
        return 0;
      }
      return Math.max(1, Math.ceil(window.startedMs + windowMs - nowMs));
    },
  };
}

function sweep(windows: Map<string | number, { startedMs: number }>, nowMs: number, windowMs: number): void {
  for (const [key, window] of windows) if (nowMs - window.startedMs >= windowMs) windows.delete(key);
}
