/** What a broker is started with, and what it says while it runs. */

import type { WantedBackend } from "../model/backend-key.ts";
import type { Instance } from "../model/names.ts";
import type { Env, Platform } from "../platform/ports/index.ts";
import type { RegisteredBackend } from "./activation/registered-backend.ts";
import type { BrokerEvent, CloseReason } from "./events/broker-event.ts";
import type { RestartReport } from "./events/reports.ts";
import type { SuccessorCommand } from "./succession/successor.ts";

export interface BrokerOptions {
  readonly platform: Platform;
  /** Environment that launched backends inherit and that settings are read from. */
  readonly env: Env;
  /** Address to listen on. Its directory is created private. */
  readonly endpoint: string;
  /** Serve only services of this instance. Default: serve all, and report the instance as `launch`. */
  readonly instance?: Instance;
  readonly definitionDirectory: string;
  /** Where that choice came from, for the `config` verb: `flag:--service-def-dir`, `env:…` or `platform-default`. */
  readonly definitionDirectorySource: string;
  /** Directory of backend logs. */
  readonly logDirectory: string;
  /** Home directory of the user, which `diagnose` takes out of its archive. Default: HOME of `env`. */
  readonly home?: string;
  /** End after this many accepted connections. Default: no end. Sane: 1 and up. */
  readonly maxConnections?: number;
  /**
   * End when there has been no connection and no backend for this many milliseconds, like systemd's ExitIdleTime of a
   * bus-activated service. Default: never. Sane: minutes.
   */
  readonly idleExitMs?: number;
  /** Registered mode: one running backend, nothing is launched. */
  readonly registered?: RegisteredBackend;
  /** Hellos one process may send in a second; 0 turns the limit off. Default 256. */
  readonly hellosPerSecond?: number;
  /**
   * Launched as soon as the address is held: for clients that are known to come, and wait for it already. Not when the
   * place of another broker is taken. Default: none.
   */
  readonly launch?: readonly WantedBackend[];
  /** How a process is started right now that can take this broker's place. Default: it cannot be restarted. */
  readonly successor?: () => SuccessorCommand;
  /** The broker whose place is to be taken, on this inherited descriptor. Consumed. Default: none, the endpoint is free. */
  readonly predecessorFd?: number;
  /**
   * Diagnostics. What it throws before the broker has started ends the start with that very error; what it throws later is an
   * uncaught exception of the process.
   */
  readonly onEvent?: (event: BrokerEvent) => void;
}

export interface StopOptions {
  readonly reason: CloseReason;
  /** Also stop the backends this broker launched. Default false: they keep running. */
  readonly withBackends?: boolean;
  /** How long work in flight may go on. Default 10 s, like systemd's TimeoutStopSec. */
  readonly drainMs?: number;
}

export interface Broker {
  readonly endpoint: string;
  /** Resolves when the broker has ended: socket and lock removed, no connection open. */
  readonly closed: Promise<CloseReason>;
  /** Ends it. Later calls join the first. */
  stop(options: StopOptions): Promise<void>;
  /**
   * Has a new process take this one's place, without a client's noticing. Calls while one is under way join it; after
   * it, this broker ends with `replaced` once its last connections are over.
   *
   * `timeoutMs`: default 60 s.
   *
   * @throws BrokerError RESTART_FAILED, DEADLINE_EXCEEDED; this broker goes on then
   */
  restart(options?: { readonly timeoutMs?: number | undefined }): Promise<RestartReport>;
}
