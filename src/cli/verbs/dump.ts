/** `rpb dump`: everything a broker knows about itself. */
import type { Command } from "commander";
import { AdminVerb } from "../../wire/messages.ts";
import { type AdminVerbOptions, addAdminOptions, runAdminVerb, SELECTS_ONE } from "../ask/admin-verb.ts";
import type { CliContext } from "../shell/context.ts";
import { dumpText } from "../text/admin-text.ts";

const HELP = `
Backends, launch budgets that are in use, the last events and the settings in effect. Starts nothing.
${SELECTS_ONE}

Examples:
  rpb dump
  rpb dump --service demo --json`;

export function register(program: Command, context: CliContext): void {
  addAdminOptions(program.command("dump").description("Show all that a broker knows about itself."))
    .addHelpText("after", HELP)
    .action((options: AdminVerbOptions) =>
      context.run(
        () => runAdminVerb(context, options, { verb: "dump", query: { verb: AdminVerb.DUMP }, toText: dumpText }),
        options,
      ),
    );
}
