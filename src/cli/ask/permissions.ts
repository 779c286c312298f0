/**
 * What each verb may do to processes, as data. Verbs get their row handed and pass it on to whatever could start or
 * stop something; nothing else grants it. Verbs that read have neither.
 */
export type Verb =
  | "serve"
  | "connect"
  | "status"
  | "list-instances"
  | "backend-health"
  | "dump"
  | "config"
  | "metrics"
  | "diagnose"
  | "healthz"
  | "readyz"
  | "events"
  | "logs"
  | "why"
  | "stop"
  | "restart"
  | "release-handles"
  | "service add"
  | "service list"
  | "service show"
  | "service check"
  | "service remove";

export interface Permission {
  /** A broker or a backend may come to life. */
  readonly mayStart: boolean;
  /** A broker or a backend may be ended. */
  readonly mayStop: boolean;
}

const READS: Permission = { mayStart: false, mayStop: false };

export const PERMISSIONS: Readonly<Record<Verb, Permission>> = {
  serve: { mayStart: true, mayStop: true },
  connect: { mayStart: true, mayStop: false },
  status: READS,
  "list-instances": READS,
  "backend-health": READS,
  dump: READS,
  config: READS,
  metrics: READS,
  // It writes a file, which is not what this table is about.
  diagnose: READS,
  healthz: READS,
  readyz: READS,
  events: READS,
  logs: READS,
  why: READS,
  stop: { mayStart: false, mayStop: true },
  // The old process ends only once a new one serves.
  restart: { mayStart: true, mayStop: true },
  "release-handles": READS,
  "service add": READS,
  "service list": READS,
  "service show": READS,
  "service check": READS,
  "service remove": READS,
};
