/**
 * Waiting for a raw descriptor to become readable or writable, on Node's own event loop (libuv's poll through koffi).
 *
 * Four facts shape this file: a poll handle that is garbage-collected stops silently, so live ones are kept in a set;
 * calling anything on a closed handle crashes the process, so nobody else gets to see one; an exception in the
 * callback is swallowed, so it is thrown again where Node reports it; and a handle that is still armed when the process
 * ends by itself can abort it, so all are closed on exit.
 */
import koffi, { type node } from "koffi";

export interface ReadinessWatch {
  /** Between the two nothing is noticed, and it does not keep the process alive. */
  pause(): void;
  resume(): void;
  /** Stops for good. The descriptor may be closed afterwards, not before. */
  stop(): void;
}

const live = new Set<node.PollHandle>();

process.once("exit", () => {
  for (const handle of live) handle.close();
  live.clear();
});

/** Calls `onReady` each time the descriptor is ready (level-triggered) until stopped. `weak`: does not keep the process alive. */
export function watchReadiness(
  fd: number,
  event: Event,
  onReady: () => void,
  options: { weak?: boolean } = {},
): ReadinessWatch {
  return new Watch(fd, event, onReady, { once: false, weak: options.weak === true });
}

/** Calls `onReady` once. */
export function onceReady(fd: number, event: Event, onReady: () => void): ReadinessWatch {
  return new Watch(fd, event, onReady, ONCE);
}

type Event = "readable" | "writable";

const INTEREST = { readable: { readable: true }, writable: { writable: true } } as const;
const ONCE = { once: true, weak: false } as const;

/** Every connection that waits has one, so it is one object and one function. */
class Watch implements ReadinessWatch {
  private readonly handle: node.PollHandle;
  private stopped = false;
  private readonly notice = (): void => {
    if (this.stopped) return;
    if (this.how.once) this.stop();
    try {
      this.onReady();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };

  constructor(
    fd: number,
    private readonly event: Event,
    private readonly onReady: () => void,
    private readonly how: { readonly once: boolean; readonly weak: boolean },
  ) {
    this.handle = koffi.node.poll(fd, INTEREST[event], this.notice);
    live.add(this.handle);
    if (how.weak) this.handle.unref();
  }

  pause(): void {
    if (!this.stopped) this.handle.stop();
  }

  resume(): void {
    if (!this.stopped) this.handle.start(INTEREST[this.event], this.notice);
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    live.delete(this.handle);
    this.handle.close();
  }
}
