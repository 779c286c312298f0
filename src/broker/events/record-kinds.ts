/** What of a broker's diagnostics goes on record, and as which of the frozen kinds. */
import type { EventKind, LifecycleEvent, Severity } from "../../model/lifecycle-event.ts";
import type { BrokerEvent } from "./broker-event.ts";
import type { ActivationHow } from "./reports.ts";

export interface RecordRow {
  readonly kind: EventKind | ((event: BrokerEvent) => EventKind);
  /** Clients cause it at any rate they like. */
  readonly often?: true;
  /** The field that says why, or how to say it; default: the message. */
  readonly reason?: "reason" | "detail" | ((event: BrokerEvent) => string);
}

type Choice = RecordRow | "skip" | ((event: BrokerEvent) => RecordRow | "skip");

const BACKEND = { reason: "reason" } as const;
const BROKER = { kind: "EVENT_KIND_UNSPECIFIED" } as const;

/** By the type of the event. One that is not here is recorded with its message, unless its level is `debug`. */
const ROWS: Readonly<Record<string, Choice>> = {
  "broker-started": BROKER,
  "broker-restarting": BROKER,
  "broker-restart-failed": BROKER,
  "broker-restarted": BROKER,
  "broker-stopping": BROKER,
  "broker-stopped": BROKER,
  "hello-accepted": { kind: "HELLO_ACCEPTED", often: true, reason: whatItGot },
  "hello-refused": { kind: refusalKind, often: true, reason: "reason" },
  "request-refused": { kind: refusalKind, often: true, reason: "reason" },
  "handoff-completed": { kind: "HELLO_ACCEPTED", often: true },
  "handoff-fallback": { kind: "PROTOCOL_DOWNGRADE", often: true, reason: "detail" },
  "handoff-skipped": { kind: "PROTOCOL_DOWNGRADE", often: true, reason: "reason" },
  "peer-rejected": { kind: "SECURITY_VIOLATION", often: true },
  "accept-failed": { ...BROKER, often: true },
  "control-refused": { kind: "SECURITY_VIOLATION", often: true },
  "backend-launching": { kind: "SPAWN_ATTEMPT", ...BACKEND },
  "backend-launch-failed": { kind: launchFailureKind, ...BACKEND },
  "backend-state": ({ to, from, event, cause, exit_code: code }) => {
    // Told by backend-launching, and by backend-launch-failed, which knows why.
    if (to === "spawning" || to === "failed") return "skip";
    if (event === "ready") return { kind: "SPAWN", ...BACKEND };
    if (event === "replaced") return { kind: "REPLACED_BY_NEWER", ...BACKEND };
    if (to !== "absent") return { ...BROKER, ...BACKEND };
    if (cause === "idle") return { kind: "DIED_IDLE", ...BACKEND };
    return { kind: deathKind(from === "draining", event === "exited" && code === 0), ...BACKEND };
  },
  // Its end is told by backend-state.
  "backend-crashed": "skip",
  "backend-log-unavailable": { kind: "RESOURCE_PRESSURE" },
  "backend-log-dropped": { kind: "RESOURCE_PRESSURE", often: true },
  "fd-pressure": { kind: "RESOURCE_PRESSURE", often: true },
  "fd-pressure-over": { kind: "RESOURCE_PRESSURE", often: true },
  "definition-loaded": { kind: "SERVICE_DEF_LOADED", reason: "reason" },
  "definition-changed": { kind: "SERVICE_DEF_CHANGED", reason: "reason" },
  "admin-served": "skip",
  "connection-dropped": "skip",
  // It could not be written; what resumes it says how much is missing.
  "lifecycle-log-unavailable": "skip",
};

/** Undefined: not on record. */
export function recordRow(event: BrokerEvent): RecordRow | undefined {
  const choice = Object.hasOwn(ROWS, event.type) ? ROWS[event.type] : undefined;
  if (choice === undefined) return event.level === "debug" ? undefined : BROKER;
  const row = typeof choice === "function" ? choice(event) : choice;
  return row === "skip" ? undefined : row;
}

/** May the two be told as one? */
export function isAlike(a: BrokerEvent, b: BrokerEvent): boolean {
  return (
    a.type === b.type &&
    a.service === b.service &&
    a.version === b.version &&
    a.code === b.code &&
    a.how === b.how &&
    a.stage === b.stage &&
    a.to === b.to
  );
}

/** What events have in common that are alike. */
export function likeness({ type, service, version, code, how, stage, to }: BrokerEvent): string {
  return `${type} ${service} ${version} ${code} ${how} ${stage} ${to}`;
}

/** The same when services and versions are too many to be told apart. */
export function roughLikeness({ type, code, how, stage, to }: BrokerEvent): string {
  return `${type} ${code} ${how} ${stage} ${to}`;
}

export interface RecordContext {
  readonly tsMs: number;
  readonly instance: string;
  readonly brokerPid: number;
  /** How many events it stands for. */
  readonly count: number;
}

/** Fields for programs, those that matter most in front. */
export const EXTRA_FIELDS = [
  "version",
  "code",
  "how",
  "backend_pid",
  "from",
  "to",
  "exit_code",
  "exit_signal",
  "mode",
  "stage",
  "micros",
  "errno",
  "lost",
  "bytes",
] as const;

export function toLifecycleEvent(event: BrokerEvent, row: RecordRow, context: RecordContext): LifecycleEvent {
  const extra: Record<string, string> = { type: event.type };
  if (context.count > 1) extra.count = String(context.count);
  extra.broker_pid = String(context.brokerPid);
  for (const name of EXTRA_FIELDS) {
    const value = event[name];
    if (typeof value === "string" || typeof value === "number") extra[name] = String(value);
  }
  const { kind } = row;
  return {
    tsMs: Math.round(context.tsMs),
    pid: Number(event.pid ?? 0),
    service: textOf(event.service),
    kind: typeof kind === "function" ? kind(event) : kind,
    reason: reasonIn(event, row) || event.message,
    extra,
    severity: event.level.toUpperCase() as Severity,
    requestId: textOf(event.request_id),
    connectionId: Number(event.connection_id ?? 0),
    instance: context.instance,
  };
}

function reasonIn(event: BrokerEvent, { reason }: RecordRow): string {
  if (reason === undefined) return "";
  return typeof reason === "function" ? reason(event) : textOf(event[reason]);
}

const GOT: Readonly<Record<ActivationHow, string>> = {
  reused: "got the running backend",
  launched: "got the backend launched for it",
  joined: "got the backend launched for another Hello",
};

function whatItGot({ how, backend_pid: pid }: BrokerEvent): string {
  return how === undefined ? "" : `${GOT[how as ActivationHow]} (pid ${pid})`;
}

function refusalKind({ code }: BrokerEvent): EventKind {
  return code === "VERSION_BLOCKED" || code === "VERSION_UNSUPPORTED" ? "VERSION_MISMATCH" : "HELLO_REFUSED";
}

function launchFailureKind({ code, pid }: BrokerEvent): EventKind {
  if (code === "IDENTITY_MISMATCH") return "SECURITY_VIOLATION";
  if (pid === undefined) return "EVENT_KIND_UNSPECIFIED";
  return code === "SHUTTING_DOWN" ? "DIED_SHUTDOWN" : "DIED_CRASH";
}

function deathKind(asked: boolean, well: boolean): EventKind {
  if (asked) return "DIED_SHUTDOWN";
  return well ? "DIED_IDLE" : "DIED_CRASH";
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
