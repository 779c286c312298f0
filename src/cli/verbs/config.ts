/** `rpb config`: the settings a broker runs with. */
import type { Command } from "commander";
import { AdminVerb } from "../../wire/messages.ts";
import { type AdminVerbOptions, addAdminOptions, runAdminVerb, SELECTS_ONE } from "../ask/admin-verb.ts";
import type { CliContext } from "../shell/context.ts";
import { configText } from "../text/admin-text.ts";

const HELP = `
Each setting with its value and where that comes from. Starts nothing.
${SELECTS_ONE}

Examples:
  rpb config
  rpb config --instance shared --json`;

export function register(program: Command, context: CliContext): void {
  addAdminOptions(program.command("config").description("Show the settings a broker runs with."))
    .addHelpText("after", HELP)
    .action((options: AdminVerbOptions) =>
      context.run(
        () => runAdminVerb(context, options, { verb: "config", query: { verb: AdminVerb.CONFIG }, toText: configText }),
        options,
      ),
    );
}
