/**
 * The abort signals of one connection's requests. Each is created only when its handler looks at it: few do, and the
 * listeners of many requests on one shared signal would look like a leak to Node.
 */
import { BrokerError } from "../base/errors.ts";

export interface RequestSignals {
  open(): RequestSignal;
  /** Fires all of them, and those still to come. The first reason stays. */
  abandon(why: string): void;
  /** Is this what a handler throws that gave up because its signal fired? */
  explains(error: unknown): boolean;
}

export interface RequestSignal {
  /** Created by the first call. */
  signal(): AbortSignal;
  /** The request is over. */
  release(): void;
}

export function createRequestSignals(): RequestSignals {
  return new ConnectionSignals();
}

class ConnectionSignals implements RequestSignals {
  private readonly waiting = new Set<AbortController>();
  /** Every connection ends, and few handlers look: the error, with its stack trace, is made for those. */
  private abandoned: string | undefined;
  private made: BrokerError | undefined;

  open(): RequestSignal {
    return new LazySignal(this);
  }

  abandon(why: string): void {
    this.abandoned ??= why;
    for (const controller of this.waiting) controller.abort(this.reason(this.abandoned));
    this.waiting.clear();
  }

  explains(error: unknown): boolean {
    if (this.abandoned === undefined) return false;
    return (this.made !== undefined && error === this.made) || (error instanceof Error && error.name === "AbortError");
  }

  add(controller: AbortController): void {
    if (this.abandoned === undefined) this.waiting.add(controller);
    else controller.abort(this.reason(this.abandoned));
  }

  remove(controller: AbortController): void {
    this.waiting.delete(controller);
  }

  private reason(why: string): BrokerError {
    this.made ??= new BrokerError("CONNECTION_CLOSED", why);
    return this.made;
  }
}

class LazySignal implements RequestSignal {
  private controller: AbortController | undefined;

  constructor(private readonly signals: ConnectionSignals) {}

  signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      this.signals.add(this.controller);
    }
    return this.controller.signal;
  }

  release(): void {
    if (this.controller !== undefined) this.signals.remove(this.controller);
  }
}
