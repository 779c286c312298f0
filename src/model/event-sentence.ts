/** What lifecycle events mean, in sentences about one backend. */
import type { LifecycleEvent } from "./lifecycle-event.ts";

/** Several events that are alike, told as one. */
export interface EventGroup {
  /** The latest. */
  readonly event: LifecycleEvent;
  readonly count: number;
}

type Sentence = (group: EventGroup) => string;

const BY_TYPE: Readonly<Record<string, Sentence>> = {
  "broker-started": ({ event }) => `broker ${event.instance} (pid ${event.extra.broker_pid}) started`,
  "broker-stopping": ({ event }) => `its broker (pid ${event.extra.broker_pid}) began to end: ${event.reason}`,
  "broker-stopped": ({ event }) => `its broker (pid ${event.extra.broker_pid}) ended: ${event.reason}`,
  "definition-loaded": ({ event }) => `its definition was read: ${event.reason}`,
  "definition-changed": ({ event }) => `its definition was ${event.reason}`,
  "backend-launching": ({ event }) => `a launch began ${event.reason}`,
  "backend-launch-failed": ({ event }) => `the launch failed: ${event.reason}`,
  "backend-state": ({ event }) => `pid ${event.pid} ${event.extra.to === "running" ? "was " : ""}${event.reason}`,
  "hello-accepted": ({ event, count }) =>
    count === 1
      ? `a Hello of pid ${event.pid} ${event.reason}`
      : `${count} Hellos ${event.reason}, the last of them of pid ${event.pid}`,
  "hello-refused": ({ event, count }) =>
    `${count === 1 ? `a Hello of pid ${event.pid} was` : `${count} Hellos were`} refused (${event.extra.code}): ${event.reason}`,
  "handoff-completed": ({ count }) =>
    count === 1 ? "a client's connection was handed over" : `${count} clients' connections were handed over`,
  "handoff-fallback": reconnect,
  "handoff-skipped": reconnect,
};

function reconnect({ event, count }: EventGroup): string {
  return `${count === 1 ? "a client" : `${count} clients`} had to reconnect instead of being handed over: ${event.reason}`;
}

/** Without a full stop. */
export function eventSentence(group: EventGroup): string {
  const { event, count } = group;
  const type = event.extra.type ?? "";
  const sentence = Object.hasOwn(BY_TYPE, type) ? BY_TYPE[type] : undefined;
  if (sentence !== undefined) return sentence(group);
  return count === 1 ? event.reason : `${event.reason} (${count} times)`;
}
