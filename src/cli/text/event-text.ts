/** Lifecycle events as lines for people. */

import { printable } from "../../base/printable.ts";
import type { LifecycleEvent } from "../../model/lifecycle-event.ts";

const TIME = new Intl.DateTimeFormat("sv-SE", {
  dateStyle: "short",
  timeStyle: "medium",
});

/** Local time, sortable, with milliseconds. */
export function timeText(ms: number): string {
  return `${TIME.format(ms)}.${String(ms % 1000).padStart(3, "0")}`;
}

export interface EventTable {
  /** The first lines come with a heading. */
  lines(events: readonly LifecycleEvent[]): string[];
}

/** Columns are as wide as anything was so far: what is followed comes in pieces. */
export function createEventTable(): EventTable {
  const widths = [23, 0, 0, 0];
  let headed = false;
  return {
    lines(events) {
      if (events.length === 0) return [];
      const rows = events.map(row);
      if (!headed) rows.unshift(["TIME", "EVENT", "SERVICE", "PID", "REASON"]);
      headed = true;
      for (const cells of rows)
        for (const [column, width] of widths.entries()) widths[column] = Math.max(width, cells[column]?.length ?? 0);
      return rows
        .map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
        .map((line) => line.trimEnd());
    },
  };
}

function row(event: LifecycleEvent): string[] {
  const { kind, extra, service, pid, reason } = event;
  const times = Number(extra.count ?? 1);
  return [
    timeText(event.tsMs),
    printable(kind === "EVENT_KIND_UNSPECIFIED" ? (extra.type ?? "?") : kind),
    service === "" ? "-" : printable([service, extra.version ?? ""].join(" ").trim()),
    pid === 0 ? "-" : String(pid),
    printable(reason) + (times > 1 ? ` (${times} times)` : ""),
  ];
}
