/**
 * What may go into a diagnostics archive, field by field. Free texts are left out unless all their words are ours: reasons
 * and errors can quote what a backend printed, what a definition holds, or what a peer sent.
 */
import { fields, type Selection, selectFields } from "../../model/select-fields.ts";
import { EXTRA_FIELDS } from "../events/record-kinds.ts";

const HEAD = fields("schema_version", "command", "generated_at_unix_ms");
const BACKEND_KEY = fields("service_name", "service_version", "broker_instance");
const BACKEND = { ...BACKEND_KEY, ...fields("pid", "backend_pipe", "last_active_unix_ms", "state", "adopted") };

export const STATUS_FIELDS = {
  ...HEAD,
  ...fields("broker_instance", "broker_pid", "uptime_seconds", "accepting_hello", "connections_open"),
  fd_pressure: fields("demoted"),
  inode_pressure: fields("supported", "detail", "inodes_total", "inodes_free", "inodes_used", "used_ratio"),
  backends: [BACKEND],
  draining: [BACKEND],
  crashes: [{ ...BACKEND_KEY, ...fields("crashes", "last_exit", "last_unix_ms") }],
  ...fields("endpoint", "launching", "shutting_down"),
} as const satisfies Selection;

const SETTING = fields("value", "source");

const CONFIG_VALUES = {
  broker: { broker_instance: SETTING, broker_pid: SETTING, accepting_hello: SETTING },
  protocol: { admin_payload_protocol: SETTING, envelope_version: SETTING, framing_version: SETTING },
  limits: { max_frame_bytes: SETTING, max_hello_bytes: SETTING, connections_open: SETTING },
  paths: { service_definition_dir: SETTING },
  spawn_budget: { default_attempts_per_window: SETTING, default_window_ms: SETTING, active_budget_rows: SETTING },
  diagnostics: { bundle_format: SETTING, bundle_mode: SETTING, redactions: { value: ["value"], source: "value" } },
} as const satisfies Selection;

export const CONFIG_FIELDS = { ...HEAD, values: CONFIG_VALUES } as const satisfies Selection;

const EVENT = {
  ...fields("ts_ms", "pid", "service_name", "kind", "severity_number", "severity_text"),
  ...fields("request_id", "connection_id", "broker_instance"),
  extra: fields("type", "count", "broker_pid", ...EXTRA_FIELDS),
} as const satisfies Selection;

/** Reasons of these are put together from words, numbers, names and paths of the broker's own. */
const OWN_WORDS: ReadonlySet<unknown> = new Set([
  "accept-failed",
  "backend-found",
  "backend-state",
  "broker-restarted",
  "broker-restarting",
  "broker-started",
  "broker-stopped",
  "broker-stopping",
  "control-attached",
  "control-refused",
  "definition-changed",
  "endpoint-rebound",
  "endpoints-swept",
  "fd-pressure",
  "fd-pressure-over",
  "handoff-completed",
  "handoff-skipped",
  "hello-accepted",
  "launches-reaped",
  "lifecycle-log-resumed",
  "peer-rejected",
  "request-refused",
]);

export const DUMP_FIELDS = {
  ...HEAD,
  broker_instance: "value",
  effective_config: CONFIG_VALUES,
  backend_table: [{ ...BACKEND, ...fields("exe_path", "started_at_unix_ms") }],
  spawn_budgets: [{ ...BACKEND_KEY, ...fields("attempts_used", "remaining", "in_flight", "retry_after_ms") }],
} as const satisfies Selection;

export const MANIFEST_FIELDS = {
  directory: "value",
  files: [fields("name", "size_bytes")],
} as const satisfies Selection;

/** A lifecycle event in its JSON form. */
export function archivedEvent(row: Readonly<Record<string, unknown>>): object {
  const selected = selectFields(row, EVENT) as { readonly extra?: { readonly type?: unknown } };
  return OWN_WORDS.has(selected.extra?.type) && typeof row.reason === "string"
    ? { ...selected, reason: row.reason }
    : selected;
}

/** Variables that steer a broker or a client; their values are paths, numbers and names. */
const VARIABLES: ReadonlySet<string> = new Set([
  "RUNNING_PROCESS_BROKER_ALLOW_PRIVILEGED",
  "RUNNING_PROCESS_BROKER_AUTOSTART",
  "RUNNING_PROCESS_BROKER_CLIENT_TIMEOUT_MS",
  "RUNNING_PROCESS_BROKER_HELLO_TIMEOUT_MS",
  "RUNNING_PROCESS_BROKER_LOG_DIR",
  "RUNNING_PROCESS_BROKER_V1_SOCKET",
  "RUNNING_PROCESS_DISABLE",
  "RUNNING_PROCESS_MANIFEST_DIR",
  "RUNNING_PROCESS_SERVICE_DEF_DIR",
  "XDG_CONFIG_HOME",
  "XDG_DATA_HOME",
  "XDG_RUNTIME_DIR",
  "XDG_STATE_HOME",
]);
/** Others of this kind are named, because they may be misspelt, without their values. */
const OURS = "RUNNING_PROCESS_";

export function archivedEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): { name: string; value: string }[] {
  return Object.entries(env)
    .filter(([name]) => VARIABLES.has(name) || name.startsWith(OURS))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({ name, value: VARIABLES.has(name) ? (value ?? "") : "[redacted]" }));
}
