/**
 * Lets a backend end without cutting anything off, and without a deadline. One that knows the question is asked over its
 * control channel and ends by itself. For any other, once those who were just given its endpoint have had time to dial
 * it, the endpoint is closed to newcomers (the socket file goes; connections that are open or wait in the backlog stay),
 * and when no connection is left it may be sent SIGTERM: nobody can have come in between.
 */
import { type Clock, Deadline, type Timer } from "../../base/clock.ts";
import type { BackendResources } from "../launch/backend-resources.ts";
import { isInUse } from "./idle-watch.ts";

/** From the last Hello that may have got the endpoint to its being closed; a client of the reference does not ask again. */
const DIAL_MS = 500;
/** Between two counts of a draining backend's connections; doubling. */
const LOOK_MS = { first: 20, most: 2_000 };
/** Between two questions to a backend that is to go and still has work. */
const ASK_AGAIN_MS = 5_000;

/** What there is of the backend to drain. */
export type DrainedBackend = Pick<BackendResources, "control" | "closeEndpoint" | "connections" | "process">;

export interface DrainOutcomes {
  refused(): void;
  drained(): void;
}

export interface Drain {
  begin(): void;
  /** It is to go all the same: nobody new gets to it, and it is asked again after a while, at once when its leases change. */
  again(): void;
  close(): void;
}

/** Does not keep the process alive. */
export function createDrain(clock: Clock, backend: DrainedBackend, outcomes: DrainOutcomes): Drain {
  let timer: Timer | undefined;
  let closed = false;
  const begin = async (): Promise<void> => {
    timer?.cancel();
    // It judges for itself whether anybody uses it; there is no deadline, and nobody who waits for an answer.
    const answer = await backend.control.quiesce(Deadline.never(clock), "idle-timeout");
    if (closed || answer === "quiesced") return;
    if (answer === "refused") return outcomes.refused();
    const close = (): void => {
      backend.closeEndpoint();
      look(LOOK_MS.first);
    };
    timer = clock.schedule(DIAL_MS, close, { weak: true });
  };
  const look = (nextMs: number): void => {
    if (closed) return;
    if (!isInUse({ control: backend.control, connections: backend.connections })) return outcomes.drained();
    timer = clock.schedule(nextMs, () => look(Math.min(nextMs * 2, LOOK_MS.most)), { weak: true });
  };
  let asking = false;
  let unsubscribe: (() => void) | undefined;
  let closing: Timer | undefined;
  const ask = (): void => {
    if (!asking || closed) return;
    asking = false;
    void begin();
  };
  return {
    begin: () => void begin(),
    again() {
      asking = true;
      timer = clock.schedule(ASK_AGAIN_MS, ask, { weak: true });
      unsubscribe ??= backend.control.onLeaseChange(ask);
      // Clients that remember the endpoint would keep it in use for ever.
      closing ??= clock.schedule(DIAL_MS, () => backend.closeEndpoint(), { weak: true });
    },
    close() {
      closed = true;
      unsubscribe?.();
      closing?.cancel();
      timer?.cancel();
    },
  };
}
