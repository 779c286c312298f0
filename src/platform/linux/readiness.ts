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
  event: "readable" | "writable",
  onReady: () => void,
  options?: { weak?: boolean },
): ReadinessWatch {
  let stopped = false;
  const interest = { [event]: true };
  const notice = (): void => {
    if (stopped) return;
    try {
      onReady();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
  const handle = koffi.node.poll(fd, interest, notice);
  live.add(handle);
  if (options?.weak) handle.unref();
  return {
    pause() {
      if (!stopped) handle.stop();
    },
    resume() {
      if (!stopped) handle.start(interest, notice);
    },
    stop() {
      if (stopped) return;
      stopped = true;
      live.delete(handle);
      handle.close();
    },
  };
}

/** Calls `onReady` once. */
export function onceReady(fd: number, event: "readable" | "writable", onReady: () => void): ReadinessWatch {
  const watch = watchReadiness(fd, event, () => {
    watch.stop();
    onReady();
  });
  return watch;
}
