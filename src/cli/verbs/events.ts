/** `rpb events`: what brokers did and why, from the record they keep. Needs no broker. */

import type { Command } from "commander";
import { printableJson } from "../../base/printable.ts";
import { encodeLifecycleEvent, type LifecycleEvent } from "../../model/lifecycle-event.ts";
import { logDirectory } from "../../model/places.ts";
import { openLifecycleReader } from "../../store/lifecycle-reader.ts";
import type { CliContext } from "../shell/context.ts";
import { follow } from "../shell/follow.ts";
import { parseCount, parseDuration, parseNonEmpty } from "../shell/option-parsers.ts";
import { createEventTable } from "../text/event-text.ts";

interface EventsFlags {
  readonly follow?: boolean;
  readonly json?: boolean;
  readonly service?: string;
  readonly since?: number;
  readonly lines?: number;
}

const HELP = `
Reads the record that all brokers of this user write (lifecycle.jsonl in the directory of logs, and one older file);
starts nothing. Events that are alike and come in storms are told as one, with their number. --json prints the
records as they are: ts_ms, pid, service_name, kind, reason, extra (type, version, broker_pid, …), severity_number,
severity_text, request_id, connection_id, broker_instance; fields that hold nothing are left out.

Examples:
  rpb events
  rpb events --service demo --since 10m
  rpb events -f --json | jq 'select(.kind == "DIED_CRASH")'`;

export function register(program: Command, context: CliContext): void {
  program
    .command("events")
    .description("Show what brokers did and why: launches, ends, Hellos given and refused, handoffs.")
    .option("-f, --follow", "go on showing what comes in")
    .option("--service <name>", "only of this service", parseNonEmpty)
    .option("--since <duration>", 'only of the last time, such as "10m" or "24h"', parseDuration)
    .option("--lines <n>", "only the last n of those on record", parseCount)
    .option("--json", "one JSON object a line, for programs")
    .addHelpText("after", HELP)
    .action((flags: EventsFlags) => context.run(() => events(context, flags)));
}

async function events(context: CliContext, flags: EventsFlags): Promise<number> {
  const { clock, files } = await context.platform();
  const directory = logDirectory(context.places);
  const reader = openLifecycleReader(files, directory);
  const sinceMs = flags.since === undefined ? 0 : clock.wallMs() - flags.since;
  const wanted = ({ tsMs, service }: LifecycleEvent): boolean =>
    tsMs >= sinceMs && (flags.service === undefined || service === flags.service);
  const table = createEventTable();
  const print = (some: readonly LifecycleEvent[]): void => {
    if (flags.json) context.io.document(printableJson(some.map(encodeLifecycleEvent).join("")));
    else context.io.out(table.lines(some));
  };
  try {
    const found = reader.read().filter(wanted);
    print(flags.lines === undefined ? found : found.slice(found.length - Math.min(flags.lines, found.length)));
    if (flags.follow) await follow(context, directory, () => print(reader.read().filter(wanted)));
    // Not on stdout, which may be read by a program.
    else if (found.length === 0) context.io.err(`no such events in ${reader.path}`);
    return 0;
  } finally {
    reader.close();
  }
}
