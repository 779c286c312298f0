/**
 * Ends a broker that has nothing to do. Looks a few times per period and costs a connection nothing: quiet is when no
 * look in a whole period found a backend, a launch or a connection, and nobody connected in between.
 */
import type { Clock, Timer } from "../base/clock.ts";

const LOOKS_PER_PERIOD = 4;

export interface BrokerActivity {
  /** Grows with every connection. */
  readonly accepted: number;
  /** Anything that is there now: connections, launches, backends in any state. */
  readonly busy: boolean;
}

/** Calls `onIdle` once. */
export function watchBrokerIdle(
  clock: Clock,
  idleMs: number,
  activity: () => BrokerActivity,
  onIdle: () => void,
): { close(): void } {
  let quietSinceMs = clock.monotonicMs();
  let accepted = activity().accepted;
  let timer: Timer | undefined;
  const look = (): void => {
    const now = activity();
    if (now.busy || now.accepted !== accepted) {
      accepted = now.accepted;
      quietSinceMs = clock.monotonicMs();
    } else if (clock.monotonicMs() - quietSinceMs >= idleMs) return onIdle();
    arm();
  };
  const arm = (): void => {
    timer = clock.schedule(Math.max(1, idleMs / LOOKS_PER_PERIOD), look, { weak: true });
  };
  arm();
  return { close: () => timer?.cancel() };
}
