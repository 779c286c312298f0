/**
 * Time as a port. Everything that waits or measures takes a Clock; tests drive one by hand. Durations are
 * milliseconds. Monotonic time decides, wall-clock time is only written down.
 */
import { BrokerError } from "./errors.ts";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds from an arbitrary start, never going back, with sub-millisecond fractions. */
  monotonicMs(): number;
  /** Milliseconds since 1970 UTC. */
  wallMs(): number;
  /** Runs `fire` once after `delayMs` (clamped to 0 … 2^31-1). The timer keeps the process alive unless `weak`. */
  schedule(delayMs: number, fire: () => void, options?: { weak?: boolean }): Timer;
}

/** One absolute point in time shared by all steps of an operation, so that steps cannot add up beyond it. */
export class Deadline {
  private constructor(
    readonly clock: Clock,
    /** Monotonic milliseconds; Infinity for "never". */
    readonly atMs: number,
  ) {}

  static after(clock: Clock, ms: number): Deadline {
    return new Deadline(clock, clock.monotonicMs() + ms);
  }

  static never(clock: Clock): Deadline {
    return new Deadline(clock, Number.POSITIVE_INFINITY);
  }

  remainingMs(): number {
    return Math.max(0, this.atMs - this.clock.monotonicMs());
  }

  passed(): boolean {
    return this.clock.monotonicMs() >= this.atMs;
  }

  /** The earlier of this deadline and `ms` from now. */
  within(ms: number): Deadline {
    return new Deadline(this.clock, Math.min(this.atMs, this.clock.monotonicMs() + ms));
  }

  /** Arms a timer for this point; a no-op for "never". */
  arm(fire: () => void, options?: { weak?: boolean }): Timer {
    if (this.atMs === Number.POSITIVE_INFINITY) return { cancel() {} };
    return this.clock.schedule(this.remainingMs(), fire, options);
  }
}

/**
 * Waits `ms`, or less when `signal` fires.
 *
 * @throws BrokerError ABORTED when the signal fired; its reason is the cause.
 */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const timer = clock.schedule(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = (): void => {
      timer.cancel();
      reject(abortError(signal as AbortSignal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** The coded error for a fired signal; an abort whose reason is already ours is passed on as it is. */
export function abortError(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof BrokerError
    ? reason
    : new BrokerError("ABORTED", "the operation was aborted by its caller", { cause: reason });
}
