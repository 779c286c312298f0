/** `rpb service`: the definitions that say which binary serves a service. None of its verbs starts or stops anything. */
import type { Command } from "commander";
import type { CliContext } from "../../shell/context.ts";
import { registerServiceAdd } from "./add.ts";
import { registerServiceCheck } from "./check.ts";
import { registerServiceList } from "./list.ts";
import { registerServiceRemove } from "./remove.ts";
import { registerServiceShow } from "./show.ts";

const HELP = `
A definition is read again for every client, so a change counts at once and no broker needs a restart; backends
that run already are left alone.

Examples:
  rpb service add demo --binary /opt/demo/{version}/bin/demod
  rpb service add -f demo.toml
  rpb service check demo --version 1.2.0
  rpb service show demo --toml > demo.toml`;

export function register(program: Command, context: CliContext): void {
  const service = program
    .command("service")
    .description("Define which binary serves a service, in which versions, under which broker.")
    .addHelpText("after", HELP);
  registerServiceAdd(service, context);
  registerServiceList(service, context);
  registerServiceShow(service, context);
  registerServiceCheck(service, context);
  registerServiceRemove(service, context);
}
