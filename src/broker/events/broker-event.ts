/** What the broker says while it runs. */

/** Why a broker ended; shown by `status` while it ends and in the last log line. */
export type CloseReason = "requested" | "signal" | "max-connections" | "lost-endpoint" | "idle" | "replaced";

/** One thing the broker says. `level` is pino's; `type` is stable, the rest depends on it. */
export interface BrokerEvent {
  readonly type: string;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly [field: string]: unknown;
}
