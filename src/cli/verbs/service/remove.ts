/** `rpb service remove`. */
import type { Command } from "commander";
import { BrokerError } from "../../../base/errors.ts";
import { openDefinitions } from "../../ask/open-definitions.ts";
import type { CliContext } from "../../shell/context.ts";
import { parseNonEmpty } from "../../shell/option-parsers.ts";

interface RemoveFlags {
  readonly serviceDefDir?: string;
}

export function registerServiceRemove(service: Command, context: CliContext): void {
  service
    .command("remove")
    .description("Remove a service definition. Its running backends are left alone; no new client reaches them.")
    .argument("<name>", "name of the service")
    .option("--service-def-dir <directory>", "where definitions are (default: the user's own)", parseNonEmpty)
    .addHelpText(
      "after",
      "\nExample, ending everything first:\n  rpb stop --service demo --with-backends && rpb service remove demo",
    )
    .action((name: string, flags: RemoveFlags) => context.run(() => remove(context, name, flags)));
}

async function remove(context: CliContext, name: string, flags: RemoveFlags): Promise<number> {
  const { store } = await openDefinitions(context, flags.serviceDefDir);
  const path = store.pathOf(name);
  if (!store.remove(name))
    throw new BrokerError("DEFINITION_NOT_FOUND", `there is no definition of ${name}: ${path}`, { details: { path } });
  context.io.out(`removed ${name}: ${path}`);
  return 0;
}
