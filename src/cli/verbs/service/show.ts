/** `rpb service show`: one definition, for people, for programs, or as the TOML that `rpb service add -f` takes. */

import { type Command, Option } from "commander";
import { jsonLine, printableToml } from "../../../base/printable.ts";
import { draftOf } from "../../../model/define-service.ts";
import { instanceId } from "../../../model/names.ts";
import { instanceOf, type ServiceDefinition } from "../../../model/service-definition.ts";
import { draftToJson, formatServiceToml } from "../../../model/service-toml.ts";
import { openDefinitions } from "../../ask/open-definitions.ts";
import type { CliContext } from "../../shell/context.ts";
import { parseNonEmpty } from "../../shell/option-parsers.ts";

interface ShowFlags {
  readonly json?: boolean;
  readonly toml?: boolean;
  readonly serviceDefDir?: string;
}

export function registerServiceShow(service: Command, context: CliContext): void {
  service
    .command("show")
    .description("Show one service definition. Starts nothing.")
    .argument("<name>", "name of the service")
    .option("--json", "JSON for programs, with the keys of the TOML form")
    .addOption(new Option("--toml", "exactly what rpb service add -f takes").conflicts("json"))
    .option("--service-def-dir <directory>", "where definitions are (default: the user's own)", parseNonEmpty)
    .addHelpText("after", "\nExamples:\n  rpb service show demo\n  rpb service show demo --toml > demo.toml")
    .action((name: string, flags: ShowFlags) => context.run(() => show(context, name, flags), flags));
}

async function show(context: CliContext, name: string, flags: ShowFlags): Promise<number> {
  const { store } = await openDefinitions(context, flags.serviceDefDir);
  const definition = store.load(name);
  const path = store.pathOf(name);
  if (flags.json) context.io.out(jsonLine(definitionToJson(definition, path)));
  else {
    if (!flags.toml) context.io.out([`# ${path}`, `# served by the broker ${instanceId(instanceOf(definition))}`]);
    context.io.document(printableToml(formatServiceToml(draftOf(definition))));
  }
  return 0;
}

export function definitionToJson(definition: ServiceDefinition, path: string): Record<string, unknown> {
  return { ...draftToJson(draftOf(definition)), path, broker: instanceId(instanceOf(definition)) };
}
