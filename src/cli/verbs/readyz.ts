import type { Command } from "commander";
import type { CliContext } from "../shell/context.ts";
import { registerProbeVerb } from "./probe.ts";

export function register(program: Command, context: CliContext): void {
  registerProbeVerb(program, context, {
    verb: "readyz",
    description:
      "Does a broker take new work? Prints ready, exit 0; or not ready, exit 1 (out of descriptors, or ending). Starts nothing: exit 69 when none runs.",
  });
}
