/** `rpb list-instances`: the brokers of this user, each by its own word. */

import type { Command } from "commander";
import { BrokerError, hasCode, isBrokerError } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { type AdminVerbOptions, addAdminOptions, runAdminVerb } from "../ask/admin-verb.ts";
import { askJson } from "../ask/ask-json.ts";
import { listBrokers } from "../ask/list-brokers.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { namesOneBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { reportFailure } from "../shell/exit.ts";
import { instancesText } from "../text/admin-text.ts";
import { type JsonObject, rowsOf } from "../text/json.ts";

const HELP = `
Without a selecting option or RUNNING_PROCESS_BROKER_V1_SOCKET every broker of this user is asked; one that does not
answer is "silent", a socket that a dead broker left behind "stale". Starts nothing. Exit 69 when no broker answers.

Examples:
  rpb list-instances
  rpb list-instances --json`;

export function register(program: Command, context: CliContext): void {
  addAdminOptions(program.command("list-instances").description("List the brokers of this user."))
    .addHelpText("after", HELP)
    .action((options: AdminVerbOptions) => context.run(() => listInstances(context, options), options));
}

const QUERY = { verb: AdminVerb.LIST_INSTANCES };

async function listInstances(context: CliContext, options: AdminVerbOptions): Promise<number> {
  if (namesOneBroker(context, options))
    return runAdminVerb(context, options, {
      verb: "list-instances",
      query: QUERY,
      toText: (object) => instancesText(rowsOf(object.instances)),
    });
  const endpoints = await listBrokers(context);
  const answers = await Promise.all(endpoints.map((endpoint) => instancesAt(context, endpoint, options)));
  const rows = answers.flatMap((answer) => answer.rows);
  if (options.json) context.io.out(jsonLine(await merged(context, rows)));
  else if (rows.length > 0) context.io.out(instancesText(rows));
  if (answers.some(({ answered }) => answered)) return 0;
  // Not thrown: with --json the list is the whole output.
  return reportFailure(context.io, new BrokerError("BROKER_UNAVAILABLE", "no broker of this user is running"));
}

async function instancesAt(
  context: CliContext,
  endpoint: string,
  options: AdminVerbOptions,
): Promise<{ rows: readonly JsonObject[]; answered: boolean }> {
  try {
    const { object } = await askJson(context, PERMISSIONS["list-instances"], endpoint, QUERY, options);
    return { rows: rowsOf(object.instances), answered: true };
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    const state = hasCode(error, "BROKER_UNAVAILABLE") ? "stale" : "silent";
    return { rows: [{ broker_instance: "", pipe: endpoint, pid: 0, state }], answered: false };
  }
}

/** In the form of one broker's answer. */
async function merged(context: CliContext, instances: readonly JsonObject[]): Promise<JsonObject> {
  const { clock } = await context.platform();
  return {
    schema_version: 1,
    command: "list-instances",
    generated_at_unix_ms: Math.round(clock.wallMs()),
    instances,
  };
}
