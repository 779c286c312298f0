/**
 * The `onEvent` of an embedding program. What it throws is that program's: never a fault of the broker, which goes on with
 * what it was doing.
 */
import type { BrokerEvent } from "./broker-event.ts";

export interface EventListener {
  tell(event: BrokerEvent): void;
  /**
   * Until here the start can still fail. What the listener has thrown so far is thrown on, as it is; what it throws from now on
   * is an uncaught exception of the process.
   */
  started(): void;
}

export function createEventListener(onEvent: ((event: BrokerEvent) => void) | undefined): EventListener {
  let starting = true;
  let thrown: { readonly error: unknown } | undefined;
  return {
    tell(event) {
      try {
        onEvent?.(event);
      } catch (error) {
        if (starting) thrown ??= { error };
        else
          queueMicrotask(() => {
            throw error;
          });
      }
    },
    started() {
      starting = false;
      if (thrown !== undefined) throw new ThrownByListener(thrown.error);
    },
  };
}

/** Carries what a listener threw out of the start. */
export class ThrownByListener {
  constructor(readonly error: unknown) {}
}
