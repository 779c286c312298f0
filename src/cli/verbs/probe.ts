/** `healthz` and `readyz`: one admin verb each, whose text and exit code are passed on as they are. */
import type { Command } from "commander";
import { AdminVerb } from "../../wire/messages.ts";
import { askBroker } from "../ask/ask-broker.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { addSelectorOptions, type BrokerSelector, selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { parseDuration } from "../shell/option-parsers.ts";

interface ProbeOptions extends BrokerSelector {
  readonly timeout?: number;
}

const WIRE_VERB = { healthz: AdminVerb.HEALTHZ, readyz: AdminVerb.READYZ } as const;

export function registerProbeVerb(
  program: Command,
  context: CliContext,
  about: { verb: "healthz" | "readyz"; description: string },
): void {
  const { verb, description } = about;
  addSelectorOptions(program.command(verb).description(description))
    .option("--timeout <duration>", "how long to wait for the answer (default: 30s)", parseDuration)
    .addHelpText(
      "after",
      `
Without a selecting option: the broker of RUNNING_PROCESS_BROKER_V1_SOCKET, else the shared one.

Examples:
  rpb ${verb}
  rpb ${verb} --service demo --timeout 1s`,
    )
    .action((options: ProbeOptions) =>
      context.run(async () => {
        const endpoint = await selectBroker(context, options);
        const answer = await askBroker(
          context,
          PERMISSIONS[verb],
          endpoint,
          { verb: WIRE_VERB[verb] },
          { ...(options.timeout !== undefined && { timeoutMs: options.timeout }) },
        );
        context.io.document(answer.body.endsWith("\n") ? answer.body : `${answer.body}\n`);
        return answer.exitCode;
      }),
    );
}
