/** A clock that stands still until a test moves it. */
import type { Clock, Timer } from "../base/clock.ts";

export interface ManualClock extends Clock {
  /**
   * Moves time on by `ms` and fires what falls due, in the order it does, each timer at its own moment. Timers that
   * are set meanwhile count too. Runs synchronously: code that waits on promises goes on after the caller's next await.
   */
  advance(ms: number): void;
  /** Timers that have neither fired nor been cancelled. */
  readonly pendingTimers: number;
}

const MAX_DELAY_MS = 2 ** 31 - 1;

interface Armed {
  readonly atMs: number;
  readonly fire: () => void;
}

/** `startMs`: monotonic time at first, default 0. `wallMs`: wall-clock time at first, default 1 700 000 000 000. */
export function createManualClock(options: { startMs?: number; wallMs?: number } = {}): ManualClock {
  let now = options.startMs ?? 0;
  const wallOffset = (options.wallMs ?? 1_700_000_000_000) - now;
  const armed = new Set<Armed>();
  const earliestUntil = (end: number): Armed | undefined => {
    let found: Armed | undefined;
    for (const timer of armed) {
      if (timer.atMs <= end && (found === undefined || timer.atMs < found.atMs)) found = timer;
    }
    return found;
  };
  return {
    monotonicMs: () => now,
    wallMs: () => Math.floor(now + wallOffset),
    schedule(delayMs, fire): Timer {
      const timer = { atMs: now + Math.min(Math.max(0, delayMs), MAX_DELAY_MS), fire };
      armed.add(timer);
      return { cancel: () => void armed.delete(timer) };
    },
    advance(ms) {
      if (!(ms >= 0)) throw new RangeError(`a clock cannot be moved by ${ms} ms`);
      const end = now + ms;
      for (let due = earliestUntil(end); due !== undefined; due = earliestUntil(end)) {
        armed.delete(due);
        now = due.atMs;
        due.fire();
      }
      now = end;
    },
    get pendingTimers() {
      return armed.size;
    },
  };
}
