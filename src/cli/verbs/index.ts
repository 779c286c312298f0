/** The verbs of `rpb`, each in a module of its own that is loaded when the verb is used: a short command stays fast. */
import type { Command } from "commander";
import type { CliContext } from "../shell/context.ts";

export interface VerbModule {
  /** Adds the verb with its options, examples and action to `program`. */
  register(program: Command, context: CliContext): void;
}

export interface VerbEntry {
  /** One line for `rpb --help`. */
  readonly summary: string;
  load(): Promise<VerbModule>;
}

/** In the order of `rpb --help`. */
export const VERBS: Readonly<Record<string, VerbEntry>> = {
  connect: { summary: "reach a service in a version, starting what is missing", load: () => import("./connect.ts") },
  status: { summary: "what runs: brokers and their backends (starts nothing)", load: () => import("./status.ts") },
  why: { summary: "how a service came to its present state (starts nothing)", load: () => import("./why.ts") },
  events: { summary: "what brokers did and why, on record", load: () => import("./events.ts") },
  logs: { summary: "what the backends of a service wrote", load: () => import("./logs.ts") },
  "list-instances": {
    summary: "the brokers of this user, each by its own word",
    load: () => import("./list-instances.ts"),
  },
  "backend-health": {
    summary: "last Hello and last error of a service's backends",
    load: () => import("./backend-health.ts"),
  },
  metrics: { summary: "what a broker has counted and measures", load: () => import("./metrics.ts") },
  dump: { summary: "all that a broker knows about itself", load: () => import("./dump.ts") },
  config: { summary: "the settings a broker runs with", load: () => import("./config.ts") },
  diagnose: { summary: "write an archive for a bug report, without secrets", load: () => import("./diagnose.ts") },
  stop: { summary: "end a broker, and with --with-backends what it launched", load: () => import("./stop.ts") },
  restart: {
    summary: "have a new process take a broker's place; no client notices",
    load: () => import("./restart.ts"),
  },
  "release-handles": {
    summary: "have backends let go of a path that is to be moved or deleted",
    load: () => import("./release-handles.ts"),
  },
  service: {
    summary: "add, list, show, check, remove service definitions",
    load: () => import("./service/service.ts"),
  },
  healthz: { summary: "does a broker answer? (for supervisors)", load: () => import("./healthz.ts") },
  readyz: { summary: "does a broker take new work? (for supervisors)", load: () => import("./readyz.ts") },
  serve: { summary: "run a broker in the foreground", load: () => import("./serve.ts") },
};
