/** Answers of the admin verbs as text for people. What another implementation leaves out shows as "?". */
import { isObject, type JsonObject, rowsOf } from "./json.ts";
import { alignColumns, cell, formatUptime } from "./status-text.ts";

type Cells = readonly string[];

export function dumpText(body: JsonObject, endpoint: string): string[] {
  const nowMs = body.generated_at_unix_ms;
  const backends = rowsOf(body.backend_table).map((row) =>
    [row.service_name, row.service_version, row.pid, row.state, row.backend_pipe].map(cell),
  );
  const budgets = rowsOf(body.spawn_budgets).map((row) => [
    ...[row.service_name, row.service_version, row.attempts_used, row.remaining].map(cell),
    row.in_flight === true ? "yes" : "no",
    typeof row.retry_after_ms === "number" ? `${Math.ceil(row.retry_after_ms / 1000)} s` : "-",
  ]);
  const events = rowsOf(body.recent_lifecycle_events).map((row) => [
    ago(nowMs, row.ts_ms),
    cell(row.kind ?? "-"),
    cell(row.service_name ?? "-"),
    cell(row.reason),
  ]);
  return [
    `broker ${cell(body.broker_instance)}`,
    `  ${endpoint}`,
    ...section("backends", ["SERVICE", "VERSION", "PID", "STATE", "ENDPOINT"], backends),
    ...section("launch budgets", ["SERVICE", "VERSION", "USED", "LEFT", "LAUNCHING", "RETRY IN"], budgets),
    ...section("recent events", ["AGO", "EVENT", "SERVICE", "REASON"], events),
    ...section("settings", CONFIG_HEAD, configRows(body.effective_config)),
  ];
}

export function configText(body: JsonObject): string[] {
  return table(CONFIG_HEAD, configRows(body.values));
}

export function backendHealthText(body: JsonObject): string[] {
  const rows = rowsOf(body.backends).map((row) => [
    ...[row.service_version, row.pid, row.state].map(cell),
    row.last_hello_unix_ms === 0 ? "never" : `${ago(body.generated_at_unix_ms, row.last_hello_unix_ms)} ago`,
    row.last_error === null ? "none" : `${cell(row.last_error)}${errorAge(body, row)}`,
  ]);
  if (rows.length === 0) return [`no backends of ${cell(body.service_name)}`];
  return table(["VERSION", "PID", "STATE", "LAST HELLO", "LAST ERROR"], rows);
}

export function instancesText(rows: readonly JsonObject[]): string[] {
  return table(
    ["INSTANCE", "PID", "STATE", "ENDPOINT"],
    rows.map((row) => [
      cell(row.broker_instance === "" ? "-" : row.broker_instance),
      ...[row.pid, row.state, row.pipe].map(cell),
    ]),
  );
}

export function diagnoseText(body: JsonObject): string[] {
  const bundle = isObject(body.bundle) ? body.bundle : {};
  const entries = rowsOf(bundle.entries).map((row) => [cell(row.path), cell(row.size_bytes)]);
  return [`wrote ${cell(body.output)} (${cell(bundle.size_bytes)} bytes)`, ...table(["ENTRY", "BYTES"], entries)];
}

const CONFIG_HEAD = ["SETTING", "VALUE", "SOURCE"] as const;

function configRows(values: unknown): Cells[] {
  if (!isObject(values)) return [];
  return Object.entries(values).flatMap(([group, settings]) =>
    Object.entries(isObject(settings) ? settings : {}).map(([name, leaf]) => {
      const { value, source } = isObject(leaf) ? leaf : {};
      return [`${group}.${name}`, Array.isArray(value) ? value.map(cell).join(" ") : settingCell(value), cell(source)];
    }),
  );
}

function settingCell(value: unknown): string {
  return typeof value === "boolean" ? String(value) : cell(value);
}

function section(title: string, head: Cells, rows: readonly Cells[]): string[] {
  return rows.length === 0 ? ["", `${title}: none`] : ["", `${title}:`, ...table(head, rows, "  ")];
}

function table(head: Cells, rows: readonly Cells[], indent = ""): string[] {
  return alignColumns([head, ...rows]).map((line) => indent + line);
}

function errorAge(body: JsonObject, row: JsonObject): string {
  return typeof row.last_error_unix_ms === "number"
    ? ` (${ago(body.generated_at_unix_ms, row.last_error_unix_ms)} ago)`
    : "";
}

/** By the broker's clock on both sides. */
function ago(nowMs: unknown, thenMs: unknown): string {
  if (typeof nowMs !== "number" || typeof thenMs !== "number") return "?";
  return formatUptime(Math.max(0, nowMs - thenMs) / 1000);
}
