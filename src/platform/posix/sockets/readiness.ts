/**
 * Waiting for a raw descriptor to become readable or writable, on Node's own event loop (libuv's poll through koffi).
 *
 * Five facts shape this file. A poll handle that is garbage-collected stops silently, so live ones are kept in a set.
 * A call on a closed handle crashes the process, so no other file gets to see a handle. An exception in the callback is
 * swallowed, so it is thrown again where Node reports it. A handle that is still armed when the process ends can abort
 * it, so all are closed on exit. koffi calls back without a callback scope of Node's, so Node does not run the ticks and
 * promises that the callback has queued, unless it does so anyway: `drainSoon` makes it do so.
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

/**
 * The newest minor version of each line of Node that is known to run ticks and promises in every turn of its loop, after
 * libuv's poll phase, whatever was called back in it. From 26.4 on Node does so only in a turn that has an immediate
 * (nodejs/node pull request 62969). A version that is not listed counts as one of those: an immediate that is not needed
 * costs a broker 4 percent of its processor time for a Hello, and one that is missing lets a client wait until a timer or
 * a socket of its own comes along.
 */
const DRAINS_BY_ITSELF = new Map([
  [20, Number.POSITIVE_INFINITY],
  [22, 23],
  [24, 22],
  [26, 3],
]);

/** Does this version need `drainSoon`? `version`: as in process.versions.node. */
export function needsDraining(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return !(minor <= (DRAINS_BY_ITSELF.get(major) ?? -1));
}

const draining = needsDraining(process.versions.node);
let drainPlanned = false;
const drained = (): void => {
  drainPlanned = false;
};

/**
 * Has Node run what the current callback queues (process.nextTick, promises) right after libuv's poll phase: an immediate
 * is the next callback that Node itself makes, and ticks and promises run behind it. One serves a whole turn.
 */
function drainSoon(): void {
  if (drainPlanned) return;
  drainPlanned = true;
  setImmediate(drained);
}

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
    if (draining) drainSoon();
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
