/** When a backend that was asked to end is killed. */
import type { Clock, Timer } from "../../base/clock.ts";

export interface StopDeadline {
  /** The first time; later calls change nothing, also after `disarm`: a backend is told to end once in its life. */
  arm(ms: number): void;
  disarm(): void;
  /** Milliseconds that are left, 0 when it is over; undefined when it is not armed. */
  remainingMs(): number | undefined;
}

/** Keeps no process alive. */
export function createStopDeadline(clock: Clock, onOver: () => void): StopDeadline {
  let armed: { readonly timer: Timer; readonly atMs: number } | undefined;
  let used = false;
  return {
    arm(ms) {
      if (used) return;
      used = true;
      armed = { timer: clock.schedule(ms, onOver, { weak: true }), atMs: clock.monotonicMs() + ms };
    },
    disarm() {
      armed?.timer.cancel();
      armed = undefined;
    },
    remainingMs: () => armed && Math.max(0, armed.atMs - clock.monotonicMs()),
  };
}
