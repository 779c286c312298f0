/**
 * The total time of one call, and its AbortSignal, around every step that waits. A step names what is being done, so
 * that whatever ends it early can say where the time went.
 */
import { type Clock, Deadline, sleep } from "../base/clock.ts";
import { BrokerError, hasCode } from "../base/errors.ts";

export interface TimeBox {
  readonly clock: Clock;
  readonly deadline: Deadline;
  readonly signal: AbortSignal | undefined;
  /**
   * Runs one step; not at all when the time is up or the signal has fired by then, so what a step owns it acquires itself. When the time is up or the signal fires first, `abandon` gets what the step delivers after all, to
   * be closed, and the step's own failure is of no interest any more.
   *
   * @throws BrokerError DEADLINE_EXCEEDED or ABORTED, both saying `doing`; whatever the step throws
   */
  run<T>(doing: string, step: (deadline: Deadline) => Promise<T>, abandon?: (late: T) => void): Promise<T>;
  /** Waits. @throws BrokerError DEADLINE_EXCEEDED, ABORTED */
  pause(doing: string, ms: number): Promise<void>;
}

/** `timeoutMs` from now. Holds a timer and a listener only while a step runs. */
export function createTimeBox(clock: Clock, timeoutMs: number, signal?: AbortSignal): TimeBox {
  return new CallTimeBox(clock, timeoutMs, signal);
}

class CallTimeBox implements TimeBox {
  readonly deadline: Deadline;

  constructor(
    readonly clock: Clock,
    private readonly timeoutMs: number,
    readonly signal: AbortSignal | undefined,
  ) {
    this.deadline = Deadline.after(clock, timeoutMs);
  }

  run<T>(doing: string, step: (deadline: Deadline) => Promise<T>, abandon?: (late: T) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.signal?.aborted) return reject(this.aborted(doing));
      if (this.deadline.passed()) return reject(this.expired(doing));
      let over = false;
      const settle = (): boolean => {
        const first = !over;
        over = true;
        timer.cancel();
        this.signal?.removeEventListener("abort", onAbort);
        return first;
      };
      const onAbort = (): void => {
        if (settle()) reject(this.aborted(doing));
      };
      const timer = this.deadline.arm(() => {
        if (settle()) reject(this.expired(doing));
      });
      this.signal?.addEventListener("abort", onAbort, { once: true });
      started(step, this.deadline).then(
        (value) => {
          if (settle()) resolve(value);
          else abandon?.(value);
        },
        (error: unknown) => {
          // A step that has a shorter limit of its own reports that itself; only ours is put into our words.
          const ours = hasCode(error, "DEADLINE_EXCEEDED") && this.deadline.passed();
          if (settle()) reject(ours ? this.expired(doing, error) : error);
        },
      );
    });
  }

  pause(doing: string, ms: number): Promise<void> {
    return this.run(doing, (deadline) => sleep(this.clock, Math.min(ms, deadline.remainingMs()), this.signal));
  }

  private aborted(doing: string): BrokerError {
    return new BrokerError("ABORTED", `aborted by the caller while ${doing}`, { cause: this.signal?.reason });
  }

  private expired(doing: string, cause?: unknown): BrokerError {
    return new BrokerError("DEADLINE_EXCEEDED", `${this.timeoutMs} ms were up while ${doing}`, { cause });
  }
}

/** A step that throws is one that rejects. */
async function started<T>(step: (deadline: Deadline) => Promise<T>, deadline: Deadline): Promise<T> {
  return step(deadline);
}
