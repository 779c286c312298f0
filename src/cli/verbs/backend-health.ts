/** `rpb backend-health SERVICE`: last Hello and last error of each version of a service. */
import type { Command } from "commander";
import { AdminVerb } from "../../wire/messages.ts";
import { type AdminVerbOptions, addAdminOptions, runAdminVerb } from "../ask/admin-verb.ts";
import type { CliContext } from "../shell/context.ts";
import { backendHealthText } from "../text/admin-text.ts";

const HELP = `
Versions that do not run are shown with pid 0 as long as the broker remembers an error of them. Starts nothing.
Without a selecting option: the broker of RUNNING_PROCESS_BROKER_V1_SOCKET, else the one that serves the service.

Examples:
  rpb backend-health demo
  rpb backend-health demo --json`;

export function register(program: Command, context: CliContext): void {
  const command = program
    .command("backend-health")
    .description("Show last Hello and last error of a service's backends.")
    .argument("<service>", "name of the service");
  addAdminOptions(command)
    .addHelpText("after", HELP)
    .action((serviceName: string, options: AdminVerbOptions) =>
      context.run(
        () =>
          runAdminVerb(context, selectFor(serviceName, options), {
            verb: "backend-health",
            query: { verb: AdminVerb.BACKEND_HEALTH, serviceName },
            toText: backendHealthText,
          }),
        options,
      ),
    );
}

function selectFor(service: string, options: AdminVerbOptions): AdminVerbOptions {
  return options.socket === undefined && options.instance === undefined ? { service, ...options } : options;
}
