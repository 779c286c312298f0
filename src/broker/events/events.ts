/** What the broker says while it runs: one function a kind, so that names, levels and fields stay in one place. */
import type { Clock } from "../../base/clock.ts";
import { type BackendEvents, createBackendEvents } from "./backend-events.ts";
import type { BrokerEvent } from "./broker-event.ts";
import { type ConnectionEvents, createConnectionEvents } from "./connection-events.ts";
import { createLifeEvents, type LifeEvents } from "./life-events.ts";

export interface BrokerEvents extends LifeEvents, BackendEvents, ConnectionEvents {}

export function createBrokerEvents(clock: Clock, emit: (event: BrokerEvent) => void): BrokerEvents {
  return { ...createLifeEvents(emit), ...createBackendEvents(clock, emit), ...createConnectionEvents(emit) };
}
