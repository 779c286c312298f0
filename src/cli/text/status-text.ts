/** The admin STATUS body (spec: admin §3.1) as text for people. Fields that another implementation leaves out are left out here. */

import { printable } from "../../base/printable.ts";
import { type JsonObject, rowsOf, textOf } from "./json.ts";

export function statusLines(endpoint: string, body: JsonObject): string[] {
  const facts = [
    `broker ${cell(body.broker_instance)}`,
    `pid ${cell(body.broker_pid)}`,
    `up ${formatUptime(body.uptime_seconds)}`,
    body.accepting_hello === true ? "accepting" : "not accepting",
    ...(typeof body.connections_open === "number"
      ? [`${body.connections_open} open connection${body.connections_open === 1 ? "" : "s"}`]
      : []),
  ];
  const draining = rowsOf(body.draining).map((row): JsonObject => ({ ...row, state: "draining" }));
  const crashes = rowsOf(body.crashes).flatMap(crashLines);
  const rows = [...rowsOf(body.backends), ...draining].map((row) => [
    cell(row.service_name),
    cell(row.service_version),
    cell(row.pid),
    cell(row.state),
    cell(row.backend_pipe),
  ]);
  const table =
    rows.length === 0
      ? ["  no backends"]
      : alignColumns([["SERVICE", "VERSION", "PID", "STATE", "ENDPOINT"], ...rows]).map((line) => `  ${line}`);
  return [facts.join(", "), `  ${endpoint}`, ...table, ...crashes];
}

/** Enough to see why; the log has the rest. */
const CRASH_LOG_LINES = 3;

function crashLines(row: JsonObject): string[] {
  const name = `${cell(row.service_name)} ${cell(row.service_version)}`;
  const lines = typeof row.last_log_lines === "string" ? row.last_log_lines.trimEnd().split("\n") : [];
  return [
    `  crashed lately: ${name}, ${cell(row.crashes)} of 3 times in 30 s, last with ${cell(row.last_exit)}`,
    ...lines.slice(-CRASH_LOG_LINES).flatMap((line) => (line === "" ? [] : `  | ${cell(line)}`)),
  ];
}

/** Columns as wide as their widest cell, two blanks apart. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** A value of an answer as a cell of a table. */
export function cell(value: unknown): string {
  // A broker is ours, but its bytes still do not get to steer a terminal.
  return printable(textOf(value));
}

export function formatUptime(seconds: unknown): string {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "?";
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  return first < 0
    ? "0 s"
    : parts
        .slice(first, first + 2)
        .map(([count, unit]) => `${count} ${unit}`)
        .join(" ");
}
