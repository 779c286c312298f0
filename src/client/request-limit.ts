/**
 * The default time limit of requests, by one coarse timer for a session. A timer for each request would cost as much as
 * the rest of its book-keeping, for a limit that almost no request meets.
 *
 * The timer counts periods. A request notes the period in which it began and is over its limit when more than
 * `PERIODS` whole periods have passed since. The timer runs while requests wait; it is not stopped with the last one, so
 * that a session of short requests does not arm it each time, but it is not armed again either.
 */
import type { Clock, Timer } from "../base/clock.ts";

/** Milliseconds a request waits for its response when its caller says nothing. */
export const DEFAULT_REQUEST_TIMEOUT_MS = 600_000;
/** A request that meets the limit may wait for so much longer. */
const PERIOD_MS = 30_000;
const PERIODS = DEFAULT_REQUEST_TIMEOUT_MS / PERIOD_MS;

export interface RequestLimit {
  /** A request begins: the period to be compared later. Arms the timer. */
  begin(): number;
  /** Is a request that began in `period` over its limit? */
  isOver(period: number): boolean;
  /** For the end of the session. May be called again. */
  close(): void;
}

/** `check` runs at the end of each period, ends what is over its limit, and says whether a request with a limit still waits. */
export function createRequestLimit(clock: Clock, check: () => boolean): RequestLimit {
  let period = 0;
  let timer: Timer | undefined;
  const arm = (): void => {
    // Weak: a pending request keeps the process alive by its connection, or not at all after `unref`.
    timer = clock.schedule(PERIOD_MS, endPeriod, { weak: true });
  };
  const endPeriod = (): void => {
    timer = undefined;
    period++;
    // `check` may have begun a request, which armed the timer.
    if (check() && timer === undefined) arm();
  };
  return {
    begin() {
      if (timer === undefined) arm();
      return period;
    },
    isOver: (began) => period - began > PERIODS,
    close() {
      timer?.cancel();
      timer = undefined;
    },
  };
}
