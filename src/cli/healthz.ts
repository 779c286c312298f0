import type { Command } from "commander";
import type { CliContext } from "./context.ts";
import { registerProbeVerb } from "./probe-verb.ts";

export function register(program: Command, context: CliContext): void {
  registerProbeVerb(program, context, {
    verb: "healthz",
    description: "Does a broker answer at all? Prints ok. Starts nothing: exit 69 when none runs.",
  });
}
