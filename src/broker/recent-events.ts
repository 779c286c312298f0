/** The last things the broker said, for `dump` and `diagnose`: its log lines of level info and above, oldest first. */
import type { Clock } from "../base/clock.ts";
import type { BrokerEvent } from "./options.ts";

/** A JSON object with at least `ts_ms`. */
export type RecentEvent = Readonly<Record<string, unknown>> & { readonly ts_ms: number };

export interface RecentEvents {
  note(event: BrokerEvent): void;
  rows(): readonly RecentEvent[];
}

const MAX_EVENTS = 256;
/** Of each text: a peer may have made up names of 64 KiB. */
const MAX_TEXT_CHARS = 1024;

export function createRecentEvents(clock: Pick<Clock, "wallMs">, max: number = MAX_EVENTS): RecentEvents {
  const ring: RecentEvent[] = [];
  let next = 0;
  return {
    note(event) {
      // One per connection; they would push out what explains anything.
      if (event.level === "debug") return;
      ring[next] = { ts_ms: Math.round(clock.wallMs()), ...shortened(event) };
      next = (next + 1) % max;
    },
    rows: () => [...ring.slice(next), ...ring.slice(0, next)],
  };
}

function shortened(event: BrokerEvent): BrokerEvent {
  const fields = Object.entries(event).map(([name, value]) => [
    name,
    typeof value === "string" && value.length > MAX_TEXT_CHARS ? `${value.slice(0, MAX_TEXT_CHARS)}…` : value,
  ]);
  return Object.fromEntries(fields) as BrokerEvent;
}
