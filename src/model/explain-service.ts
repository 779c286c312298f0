/**
 * How a service came to its present state: the events on record that led to it, and what the broker says now. Where the
 * two differ, the broker is right about what runs, and the record about why.
 */
import { type EventGroup, eventSentence } from "./event-sentence.ts";
import type { LifecycleEvent } from "./lifecycle-event.ts";
import { compareForDisplay } from "./version-policy.ts";

export interface LiveBackend {
  readonly version: string;
  readonly pid: number;
  /** As the broker's status has it: `running` or `stale`. */
  readonly state: string;
}

/** The broker that serves the service; `answer` other than `up`: nothing is known of its backends. */
export interface LiveBroker {
  readonly answer: "up" | "not-running" | "no-answer";
  readonly pid: number;
  /** Of this service. */
  readonly backends: readonly LiveBackend[];
}

export type VersionState =
  | "running"
  | "not-serving"
  | "launching"
  | "ending"
  | "ended"
  | "launch-failed"
  | "left-running"
  | "refused"
  | "unknown";

export interface Step {
  readonly tsMs: number;
  readonly sentence: string;
  readonly count: number;
  readonly event: LifecycleEvent;
}

export interface VersionStory {
  readonly version: string;
  readonly state: VersionState;
  /** 0: there is none. */
  readonly pid: number;
  readonly sentence: string;
  readonly chain: readonly Step[];
}

export interface ExplainOptions {
  readonly service: string;
  /** Default: every version that was launched, and those refused last. */
  readonly version?: string;
  /** In order of time. */
  readonly events: readonly LifecycleEvent[];
  readonly broker: LiveBroker;
  /** Is there a process of that number? */
  readonly exists: (pid: number) => boolean;
}

/** Versions that were only asked for are told up to this number, the latest ones. */
const MAX_REFUSED_ONLY = 3;

export function explainService(options: ExplainOptions): readonly VersionStory[] {
  return versionsOf(options).map((version) => tell(options, version));
}

function versionsOf({ service, version, events, broker }: ExplainOptions): string[] {
  if (version !== undefined) return [version];
  const launched = new Set(broker.backends.map((backend) => backend.version));
  const asked = new Set<string>();
  for (const event of events) {
    const named = event.extra.version;
    if (event.service !== service || named === undefined) continue;
    if (typeOf(event).startsWith("backend-")) launched.add(named);
    // Deleted first, so that the latest comes last.
    asked.delete(named);
    asked.add(named);
  }
  const only = [...asked].filter((named) => !launched.has(named)).slice(-MAX_REFUSED_ONLY);
  return [...launched, ...only].sort(compareForDisplay);
}

function tell(options: ExplainOptions, version: string): VersionStory {
  const own = options.events.filter((event) => event.service === options.service && event.extra.version === version);
  const launchAt = own.findLastIndex((event) => typeOf(event) === "backend-launching");
  const sinceLaunch = launchAt < 0 ? own : own.slice(launchAt);
  const decisive = sinceLaunch.findLast((event) => LIFE.has(typeOf(event)));
  const told = new Set([
    ...lastEnd(own.slice(0, Math.max(0, launchAt))),
    ...sinceLaunch,
    ...around(options, sinceLaunch),
  ]);
  const chain = chainOf(options.events.filter((event) => told.has(event)));
  return { version, ...stateOf(options, version, decisive, own.at(-1)), chain };
}

/** Types of events that change what a backend is. */
const LIFE: ReadonlySet<string> = new Set(["backend-launching", "backend-launch-failed", "backend-state"]);

/** What made the launch necessary. */
function lastEnd(before: readonly LifecycleEvent[]): LifecycleEvent[] {
  const end = before.findLast(
    (event) =>
      typeOf(event) === "backend-launch-failed" || (typeOf(event) === "backend-state" && event.extra.to === "absent"),
  );
  return end === undefined ? [] : [end];
}

/** The life of the broker that launched it, and what became of the definition. */
function around({ service, events }: ExplainOptions, own: readonly LifecycleEvent[]): LifecycleEvent[] {
  const first = own[0];
  const brokers = new Set(own.map((event) => event.extra.broker_pid));
  const of = events.filter((event) => brokers.has(event.extra.broker_pid));
  // Numbers of processes come again: the story begins with the latest start before the first event.
  const start = of.findLastIndex((event) => typeOf(event) === "broker-started" && event.tsMs <= (first?.tsMs ?? 0));
  return of.slice(Math.max(0, start)).filter((event) => {
    if (typeOf(event).startsWith("definition-")) return event.service === service;
    return typeOf(event).startsWith("broker-");
  });
}

function chainOf(events: readonly LifecycleEvent[]): Step[] {
  const groups = new Map<string, EventGroup>();
  for (const [index, event] of events.entries()) {
    const { extra, kind } = event;
    const type = typeOf(event);
    const often = type.startsWith("hello-") || type.startsWith("handoff-");
    const key = often ? [type, kind, extra.code, extra.how, extra.backend_pid, extra.stage].join(" ") : String(index);
    const count = Number(extra.count ?? 1) || 1;
    const earlier = groups.get(key);
    // Where the latest of them is.
    groups.delete(key);
    groups.set(key, { event, count: count + (earlier?.count ?? 0) });
  }
  return [...groups.values()].map((group) => ({
    tsMs: group.event.tsMs,
    sentence: eventSentence(group),
    count: group.count,
    event: group.event,
  }));
}

type Told = Pick<VersionStory, "state" | "pid" | "sentence">;

function stateOf(
  { service, broker, exists }: ExplainOptions,
  version: string,
  life: LifecycleEvent | undefined,
  last: LifecycleEvent | undefined,
): Told {
  const name = `${service} ${version}`;
  const live = broker.backends.find((backend) => backend.version === version);
  if (live !== undefined) {
    const { pid } = live;
    return live.state === "running"
      ? { state: "running", pid, sentence: `${name} runs as pid ${pid} and is given to clients` }
      : { state: "not-serving", pid, sentence: `${name} is known as pid ${pid}, but does not serve` };
  }
  if (life === undefined) return neverLaunched(name, last);
  const { pid, reason, extra } = life;
  const sameBroker = broker.answer === "up" && extra.broker_pid === String(broker.pid);
  if (typeOf(life) === "backend-launch-failed")
    return { state: "launch-failed", pid: 0, sentence: `${name} does not run: its last launch failed: ${reason}` };
  if (typeOf(life) === "backend-launching")
    return sameBroker
      ? { state: "launching", pid: 0, sentence: `${name} is being launched` }
      : { state: "unknown", pid: 0, sentence: `${name}: a launch began, and what became of it is not on record` };
  if (extra.to === "absent") return { state: "ended", pid: 0, sentence: `${name} does not run: pid ${pid} ${reason}` };
  if (sameBroker && extra.to === "draining")
    return { state: "ending", pid, sentence: `${name}: pid ${pid} ${reason} and has not ended yet` };
  if (broker.answer === "no-answer")
    return { state: "unknown", pid, sentence: `${name} was launched as pid ${pid}; its broker does not answer` };
  return exists(pid)
    ? {
        state: "left-running",
        pid,
        sentence: `${name}: pid ${pid} is there, but the broker that launched it (pid ${extra.broker_pid}) has ended, and no other lists it`,
      }
    : { state: "ended", pid: 0, sentence: `${name} does not run: pid ${pid} is gone, and its end is not on record` };
}

function neverLaunched(name: string, last: LifecycleEvent | undefined): Told {
  if (last === undefined) return { state: "unknown", pid: 0, sentence: `nothing about ${name} is on record` };
  const sentence = `${name} was not launched: ${eventSentence({ event: last, count: 1 })}`;
  return { state: "refused", pid: 0, sentence };
}

function typeOf(event: LifecycleEvent): string {
  return event.extra.type ?? "";
}
