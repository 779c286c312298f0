/**
 * Bodies of the JSON verbs other than `status` (spec: admin §3). Frozen keys first, ours behind them; rows are sorted by
 * service and version. Pure.
 */

import { type BackendKey, sameKey } from "../../model/backend-key.ts";
import { SPAWN_ATTEMPTS_PER_WINDOW, SPAWN_WINDOW_MS } from "../../model/spawn-budget.ts";
import { ENVELOPE_VERSION } from "../../wire/envelope.ts";
import { FRAMING_VERSION } from "../../wire/framing.ts";
import { MAX_FRAME_BODY_BYTES, MAX_HELLO_BODY_BYTES } from "../../wire/limits.ts";
import { formatProtocol, PAYLOAD_PROTOCOL } from "../../wire/payload-protocol.ts";
import type { HealthRecord } from "../activation/backend-health.ts";
import type { Backend } from "../supervisor/backend.ts";
import type { BrokerSnapshot } from "./broker-snapshot.ts";
import { backendState } from "./status-body.ts";

/** What every body begins with. */
export function bodyHead(command: string, { nowUnixMs }: Pick<BrokerSnapshot, "nowUnixMs">): object {
  return { schema_version: 1, command, generated_at_unix_ms: Math.round(nowUnixMs) };
}

export function renderDump(snapshot: BrokerSnapshot): object {
  return {
    ...bodyHead("dump", snapshot),
    broker_instance: snapshot.instance,
    effective_config: configValues(snapshot),
    backend_table: snapshot.backends.map((backend) => ({
      service_name: backend.key.service,
      service_version: backend.key.version,
      pid: backend.identity.pid,
      backend_pipe: backend.identity.endpoint.path,
      state: backendState(backend),
      // Ours.
      broker_instance: backend.key.instanceId,
      exe_path: backend.identity.exePath,
      started_at_unix_ms: backend.identity.startedAtUnixMs,
    })),
    spawn_budgets: snapshot.budgets.map((row) => ({
      broker_instance: row.key.instanceId,
      service_name: row.key.service,
      service_version: row.key.version,
      attempts_used: row.attemptsUsed,
      remaining: row.remaining,
      in_flight: row.inFlight,
      retry_after_ms: row.retryAfterMs ?? null,
    })),
    recent_lifecycle_events: snapshot.events(),
  };
}

export function renderInstances(snapshot: BrokerSnapshot): object {
  return {
    ...bodyHead("list-instances", snapshot),
    instances: [
      {
        broker_instance: snapshot.instance,
        pipe: snapshot.endpoint,
        pid: snapshot.pid,
        state: snapshot.acceptingHello ? "running" : "not-serving",
      },
    ],
  };
}

/** Running backends of a service, and versions of it that are remembered for their last error: those have pid 0. */
export function renderBackendHealth(snapshot: BrokerSnapshot, serviceName: string): object {
  const backends = snapshot.backends.filter(({ key }) => key.service === serviceName);
  const gone = snapshot.health.filter(
    ({ key, lastError }) =>
      key.service === serviceName && lastError !== undefined && !backends.some((backend) => sameKey(backend.key, key)),
  );
  return {
    ...bodyHead("backend-health", snapshot),
    service_name: serviceName === "" ? "unknown" : serviceName,
    backends: [
      ...backends.map((backend) => liveRow(backend, recordOf(snapshot, backend.key))),
      ...gone.map((record) => goneRow(record)),
    ].sort((a, b) => (a.service_version < b.service_version ? -1 : a.service_version > b.service_version ? 1 : 0)),
  };
}

interface HealthRow {
  readonly service_version: string;
  readonly pid: number;
  readonly state: "running" | "stale";
  readonly last_hello_unix_ms: number;
  readonly last_error: string | null;
  readonly last_error_unix_ms: number | null;
}

function liveRow(backend: Backend, record: HealthRecord | undefined): HealthRow {
  return {
    service_version: backend.key.version,
    pid: backend.identity.pid,
    state: backendState(backend),
    last_hello_unix_ms: backend.lastHelloUnixMs || (record?.lastHelloUnixMs ?? 0),
    ...lastError(record),
  };
}

function goneRow(record: HealthRecord): HealthRow {
  return {
    service_version: record.key.version,
    pid: 0,
    state: "stale",
    last_hello_unix_ms: record.lastHelloUnixMs,
    ...lastError(record),
  };
}

function lastError(record: HealthRecord | undefined): Pick<HealthRow, "last_error" | "last_error_unix_ms"> {
  return { last_error: record?.lastError ?? null, last_error_unix_ms: record?.lastErrorUnixMs ?? null };
}

function recordOf(snapshot: BrokerSnapshot, key: BackendKey): HealthRecord | undefined {
  return snapshot.health.find((record) => sameKey(record.key, key));
}

export function renderConfig(snapshot: BrokerSnapshot): object {
  return { ...bodyHead("config", snapshot), values: configValues(snapshot) };
}

/** What `diagnose` takes out of its archive. */
export const REDACTIONS = ["home", "secret-env", "acl-identities"] as const;

function configValues(snapshot: BrokerSnapshot): object {
  const leaf = (source: string) => (value: unknown) => ({ value, source });
  const [runtime, protocol, byDefault, schema] = ["runtime", "protocol-v1", "default", "schema-v1"].map(leaf) as [
    Leaf,
    Leaf,
    Leaf,
    Leaf,
  ];
  return {
    broker: {
      broker_instance: runtime(snapshot.instance),
      broker_pid: runtime(snapshot.pid),
      accepting_hello: runtime(snapshot.acceptingHello),
    },
    protocol: {
      admin_payload_protocol: protocol(formatProtocol(PAYLOAD_PROTOCOL.admin)),
      envelope_version: protocol(ENVELOPE_VERSION),
      framing_version: protocol(FRAMING_VERSION),
    },
    limits: {
      max_frame_bytes: protocol(MAX_FRAME_BODY_BYTES),
      max_hello_bytes: protocol(MAX_HELLO_BODY_BYTES),
      connections_open: runtime(snapshot.connectionsOpen),
    },
    paths: { service_definition_dir: leaf(snapshot.definitions.source)(snapshot.definitions.directory) },
    spawn_budget: {
      default_attempts_per_window: byDefault(SPAWN_ATTEMPTS_PER_WINDOW),
      default_window_ms: byDefault(SPAWN_WINDOW_MS),
      active_budget_rows: runtime(snapshot.budgets.length),
    },
    diagnostics: {
      bundle_format: schema("tar.gz"),
      bundle_mode: schema("metadata-only"),
      redactions: schema(REDACTIONS),
    },
  };
}

type Leaf = (value: unknown) => { value: unknown; source: string };
