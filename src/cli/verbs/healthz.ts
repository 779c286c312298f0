import type { Command } from "commander";
import type { CliContext } from "../shell/context.ts";
import { registerProbeVerb } from "./probe.ts";

export function register(program: Command, context: CliContext): void {
  registerProbeVerb(program, context, {
    verb: "healthz",
    description: "Does a broker answer at all? Prints ok. Starts nothing: exit 69 when none runs.",
  });
}
