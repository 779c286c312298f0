/** What a broker knows about itself at one moment. */
import type { MetricFamily } from "../../model/open-metrics.ts";
import type { CrashRow } from "../../model/recovery.ts";
import type { BudgetRow } from "../activation/admission.ts";
import type { HealthRecord } from "../activation/backend-health.ts";
import type { Backend } from "../supervisor/backend.ts";

export interface BrokerSnapshot {
  readonly nowUnixMs: number;
  /** Instance id, or `launch` for a broker that serves all. */
  readonly instance: string;
  readonly pid: number;
  readonly endpoint: string;
  readonly uptimeMs: number;
  readonly acceptingHello: boolean;
  readonly shuttingDown: boolean;
  readonly connectionsOpen: number;
  readonly launching: number;
  readonly fdDemoted: boolean;
  readonly inodes: { readonly total: bigint; readonly free: bigint } | undefined;
  /** Sorted by service, version. */
  readonly backends: readonly Backend[];
  /** Sorted by service, version. */
  readonly budgets: readonly BudgetRow[];
  readonly health: readonly HealthRecord[];
  readonly definitions: { readonly directory: string; readonly source: string };
  /** They take no new client and have not ended yet. */
  readonly draining: readonly Backend[];
  readonly crashes: readonly CrashRow[];
  // What costs something to collect is collected when a verb wants it.
  readonly events: () => readonly EventRow[];
  readonly metrics: () => readonly MetricFamily[];
}

/** A lifecycle event in its JSON form: an object with at least `ts_ms`. */
export type EventRow = Readonly<Record<string, unknown>> & { readonly ts_ms: number };
