/** The system's clocks and timers. */
import type { Clock, Timer } from "../../base/clock.ts";

const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  // Not `performance.now()`: the first use of `performance` loads a module of Node that a short-lived process waits for.
  monotonicMs() {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1e3 + nanoseconds / 1e6;
  },
  wallMs: () => Date.now(),
  schedule(delayMs, fire, options): Timer {
    // Rounded up: a timer that fires a fraction early would see its own deadline as not yet passed.
    const timer = setTimeout(fire, Math.min(Math.max(0, Math.ceil(delayMs)), MAX_TIMEOUT_MS));
    if (options?.weak) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
