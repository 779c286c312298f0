/**
 * Notices that nobody uses a backend. Looks now and then, never on a Hello: a Hello leaves only its time behind. What
 * counts as use: a Hello since the last look, a lease the backend reports, a connection that is open to it. A backend
 * whose connections cannot be seen and that reports no leases is never idle.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { DEFAULT_IDLE_TIMEOUT_MS } from "../../model/exec-settings.ts";
import type { ControlSlot } from "../control/control-slot.ts";

/** Looks within one idle time-out; a use that comes and goes between two looks without a Hello or lease is missed. */
const LOOKS_PER_TIMEOUT = 4;
const LOOK_MS = { least: 10, most: 60_000 };

export interface IdleSubject {
  /** From the definition as it is now; undefined: the default. */
  timeout(): number | "never" | undefined;
  /** Changes with every Hello. */
  lastHello(): number;
  readonly control: Pick<ControlSlot, "leases" | "onLeaseChange">;
  connections(): number | undefined;
}

/** Is anybody using it, as far as can be known at this moment? What it says itself counts more than what can be seen. */
export function isInUse({ control, connections }: Pick<IdleSubject, "control" | "connections">): boolean {
  const report = control.leases();
  if (report !== undefined) return !report.idle;
  const open = connections();
  return open === undefined || open > 0;
}

/** Calls `onIdle` once. Does not keep the process alive. */
export function watchIdle(clock: Clock, subject: IdleSubject, onIdle: () => void): { close(): void } {
  let quietSinceMs = clock.monotonicMs();
  let lastHello = subject.lastHello();
  let timer: Timer | undefined;
  let closed = false;
  const used = (): void => {
    quietSinceMs = clock.monotonicMs();
  };
  const arm = (): void => {
    const timeoutMs = timeoutOf(subject);
    const lookMs = Math.min(Math.max((timeoutMs ?? LOOK_MS.most) / LOOKS_PER_TIMEOUT, LOOK_MS.least), LOOK_MS.most);
    timer = clock.schedule(lookMs, look, { weak: true });
  };
  const look = (): void => {
    if (closed) return;
    const timeoutMs = timeoutOf(subject);
    const hello = subject.lastHello();
    if (hello !== lastHello || timeoutMs === undefined || isInUse(subject)) {
      lastHello = hello;
      used();
    } else if (clock.monotonicMs() - quietSinceMs >= timeoutMs) {
      closed = true;
      return onIdle();
    }
    arm();
  };
  // A lease that comes and goes between two looks is use all the same.
  const unsubscribe = subject.control.onLeaseChange(used);
  arm();
  return {
    close() {
      closed = true;
      unsubscribe();
      timer?.cancel();
    },
  };
}

/** Undefined: never. */
function timeoutOf(subject: IdleSubject): number | undefined {
  const timeout = subject.timeout();
  if (timeout === "never") return undefined;
  return timeout ?? (subject.control.leases() === undefined ? undefined : DEFAULT_IDLE_TIMEOUT_MS);
}
