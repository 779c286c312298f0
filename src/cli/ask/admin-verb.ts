/** What the verbs that ask one broker one question have in common: which broker, how long, and in which form. */

import type { Command } from "commander";
import { printableJson } from "../../base/printable.ts";
import type { AdminQuery } from "../../exchange/admin-client.ts";
import type { CliContext } from "../shell/context.ts";
import { parseDuration } from "../shell/option-parsers.ts";
import type { Lines } from "../shell/output.ts";
import type { JsonObject } from "../text/json.ts";
import { askJson } from "./ask-json.ts";
import { PERMISSIONS, type Verb } from "./permissions.ts";
import { addSelectorOptions, type BrokerSelector, selectBroker } from "./select-broker.ts";

export interface AdminVerbOptions extends BrokerSelector {
  readonly json?: boolean;
  readonly timeout?: number;
}

export const SELECTS_ONE =
  "Without a selecting option: the broker of RUNNING_PROCESS_BROKER_V1_SOCKET, else the shared one.";

export function addAdminOptions(command: Command): Command {
  return addSelectorOptions(command)
    .option("--json", "JSON for programs")
    .option("--timeout <duration>", "how long to wait for the answer (default: 30s)", parseDuration);
}

/** Asks the selected broker and prints its answer: as it is with `--json`, else as `toText` has it. */
export async function runAdminVerb(
  context: CliContext,
  options: AdminVerbOptions,
  about: { verb: Verb; query: AdminQuery; toText: (object: JsonObject, endpoint: string) => Lines },
): Promise<number> {
  const endpoint = await selectBroker(context, options);
  const { body, object, exitCode } = await askJson(context, PERMISSIONS[about.verb], endpoint, about.query, options);
  printAnswer(context, options, body, () => about.toText(object, endpoint));
  return exitCode;
}

/** A broker's answer: its own bytes with `--json`, else what `text` says of it, which is not asked otherwise. */
export function printAnswer(
  context: CliContext,
  options: { readonly json?: boolean },
  body: string,
  text: () => Lines,
): void {
  if (options.json) context.io.document(`${printableJson(body.trimEnd())}\n`);
  else context.io.out(text());
}
