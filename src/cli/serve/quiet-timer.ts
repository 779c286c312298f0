/**
 * A moment when nothing goes on, for work that would otherwise delay somebody. It costs what goes on a flag, and a process at
 * rest nothing: there is a timer only between the first thing that happens and the rest after the last.
 */
import type { Clock, Timer } from "../../base/clock.ts";

export interface Leisure {
  /** Something happened. */
  disturb(): void;
  close(): void;
}

/** Calls `onLeisure` once after each time of work: when nothing has happened for `quietMs`, or at most twice as long. */
export function createLeisure(clock: Clock, quietMs: number, onLeisure: () => void): Leisure {
  let timer: Timer | undefined;
  let disturbed = false;
  const arm = (): void => {
    disturbed = false;
    timer = clock.schedule(quietMs, look, { weak: true });
  };
  const look = (): void => {
    timer = undefined;
    if (disturbed) arm();
    else onLeisure();
  };
  return {
    disturb() {
      disturbed = true;
      if (timer === undefined) arm();
    },
    close: () => timer?.cancel(),
  };
}
