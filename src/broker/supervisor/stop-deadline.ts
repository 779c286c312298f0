/** When a backend that was asked to end is killed. */
import type { Clock, Timer } from "../../base/clock.ts";

export interface StopDeadline {
  /** One that is armed stays as it is. */
  arm(ms: number): void;
  disarm(): void;
  /** Milliseconds that are left, 0 when it is over; undefined when it is not armed. */
  remainingMs(): number | undefined;
}

/** Keeps no process alive. */
export function createStopDeadline(clock: Clock, onOver: () => void): StopDeadline {
  let armed: { readonly timer: Timer; readonly atMs: number } | undefined;
  return {
    arm(ms) {
      armed ??= { timer: clock.schedule(ms, onOver, { weak: true }), atMs: clock.monotonicMs() + ms };
    },
    disarm() {
      armed?.timer.cancel();
      armed = undefined;
    },
    remainingMs: () => armed && Math.max(0, armed.atMs - clock.monotonicMs()),
  };
}
