/**
 * The abort signals of one connection's requests. Each is created only when its handler looks at it: few do, and the
 * listeners of many requests on one shared signal would look like a leak to Node.
 */
import { BrokerError } from "../base/errors.ts";

export interface RequestSignals {
  /** The signal of one request, created by the first call. `release` forgets it when the request is over. */
  open(): { signal(): AbortSignal; release(): void };
  /** Fires all of them, and those still to come. The first reason stays. */
  abandon(why: string): void;
  /** Is this what a handler throws that gave up because its signal fired? */
  explains(error: unknown): boolean;
}

export function createRequestSignals(): RequestSignals {
  const waiting = new Set<AbortController>();
  // Every connection ends, and few handlers look: the error, with its stack trace, is made for those.
  let abandoned: string | undefined;
  let made: BrokerError | undefined;
  const reason = (why: string): BrokerError => {
    made ??= new BrokerError("CONNECTION_CLOSED", why);
    return made;
  };
  return {
    open() {
      let controller: AbortController | undefined;
      return {
        signal() {
          if (controller === undefined) {
            controller = new AbortController();
            if (abandoned === undefined) waiting.add(controller);
            else controller.abort(reason(abandoned));
          }
          return controller.signal;
        },
        release() {
          if (controller !== undefined) waiting.delete(controller);
        },
      };
    },
    abandon(why) {
      abandoned ??= why;
      for (const controller of waiting) controller.abort(reason(abandoned));
      waiting.clear();
    },
    explains(error) {
      if (abandoned === undefined) return false;
      return (made !== undefined && error === made) || (error instanceof Error && error.name === "AbortError");
    },
  };
}
