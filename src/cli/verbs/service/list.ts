/** `rpb service list`. */

import type { Command } from "commander";
import { jsonLine } from "../../../base/printable.ts";
import { instanceId } from "../../../model/names.ts";
import { instanceOf } from "../../../model/service-definition.ts";
import type { DefinitionEntry } from "../../../store/definition-store.ts";
import { openDefinitions } from "../../ask/open-definitions.ts";
import type { CliContext } from "../../shell/context.ts";
import { failureToJson } from "../../shell/exit.ts";
import { parseNonEmpty } from "../../shell/option-parsers.ts";
import { alignColumns } from "../../text/status-text.ts";
import { definitionToJson } from "./show.ts";

interface ListFlags {
  readonly json?: boolean;
  readonly serviceDefDir?: string;
}

export function registerServiceList(service: Command, context: CliContext): void {
  service
    .command("list")
    .description("List all service definitions; broken ones with what is wrong. Starts nothing.")
    .option("--json", 'JSON for programs: {"directory", "services": [definition | {"name", "path", "error"}]}')
    .option("--service-def-dir <directory>", "where they are (default: the user's own)", parseNonEmpty)
    .addHelpText("after", "\nExample:\n  rpb service list --json")
    .action((flags: ListFlags) => context.run(() => list(context, flags), flags));
}

async function list(context: CliContext, flags: ListFlags): Promise<number> {
  const { store } = await openDefinitions(context, flags.serviceDefDir);
  const entries = store.list();
  if (flags.json) context.io.out(jsonLine({ directory: store.directory, services: entries.map(entryToJson) }));
  else if (entries.length === 0) context.io.out(`no services in ${store.directory}`);
  else context.io.out(alignColumns([["NAME", "BROKER", "BINARY"], ...entries.map(row)]));
  return 0;
}

function row(entry: DefinitionEntry): string[] {
  if ("error" in entry) return [entry.service, "-", entry.error.message];
  return [entry.service, instanceId(instanceOf(entry.definition)), entry.definition.binaryPath];
}

function entryToJson(entry: DefinitionEntry): Record<string, unknown> {
  if ("error" in entry) return { name: entry.service, path: entry.path, error: failureToJson(entry.error) };
  return definitionToJson(entry.definition, entry.path);
}
