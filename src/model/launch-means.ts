/** What of a definition is fixed once a process was started from it. Everything else counts for a running backend as well. */
import { binaryPathFor, type ServiceDefinition } from "./service-definition.ts";

/** Would `definition` start the very process that `launched` started? Binaries are compared by path, not by content. */
export function meansSameLaunch(launched: ServiceDefinition, definition: ServiceDefinition, version: string): boolean {
  return launchText(launched, version) === launchText(definition, version);
}

function launchText(definition: ServiceDefinition, version: string): string {
  const { args, env, cwd, bind, ready, nonBlocking } = definition.exec;
  const variables = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    binaryPathFor(definition, version),
    definition.perVersionBinaryDir,
    args,
    variables,
    cwd,
    bind,
    ready,
    nonBlocking,
    definition.handoff.endpoint,
  ]);
}
