/** `rpb status`: what runs. With a selecting option or --json one broker, else all of this user. */

import type { Command } from "commander";
import { BrokerError, hasCode, isBrokerError } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { printAnswer } from "../ask/admin-verb.ts";
import { askJson } from "../ask/ask-json.ts";
import { listBrokers } from "../ask/list-brokers.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { addSelectorOptions, type BrokerSelector, namesOneBroker, selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { describeFailure, failureToJson, reportFailure } from "../shell/exit.ts";
import { parseDuration } from "../shell/option-parsers.ts";
import type { JsonObject } from "../text/json.ts";
import { statusLines } from "../text/status-text.ts";

interface StatusOptions extends BrokerSelector {
  readonly json?: boolean;
  readonly all?: boolean;
  readonly timeout?: number;
}

const HELP = `
Starts nothing and stops nothing. Without a selecting option all brokers of this user are asked, and sockets
that a dead broker left behind are named; --json asks one broker (that of RUNNING_PROCESS_BROKER_V1_SOCKET, else
the shared one) and prints its answer as it is, --all --json prints {"brokers": [{"endpoint", "status" | "error"}]}.
Exit 69 when no broker answers.

Examples:
  rpb status
  rpb status --service demo
  rpb status --json --socket /run/user/1000/running-process/broker/rpb-v1-…-shared.sock`;

export function register(program: Command, context: CliContext): void {
  addSelectorOptions(program.command("status").description("Show what runs: brokers, and the backends of each."))
    .option("--all", "all brokers of this user (the default without --json)")
    .option("--json", "JSON for programs")
    .option("--timeout <duration>", "how long to wait for each answer (default: 30s)", parseDuration)
    .addHelpText("after", HELP)
    .action((options: StatusOptions) => context.run(() => status(context, options), options));
}

async function status(context: CliContext, options: StatusOptions): Promise<number> {
  const all = options.all === true || (options.json !== true && !namesOneBroker(context, options));
  return all ? statusOfAll(context, options) : statusOfOne(context, options);
}

async function statusOfOne(context: CliContext, options: StatusOptions): Promise<number> {
  const endpoint = await selectBroker(context, options);
  const answer = await ask(context, endpoint, options);
  printAnswer(context, options, answer.body, () => statusLines(endpoint, answer.status));
  return answer.exitCode;
}

async function statusOfAll(context: CliContext, options: StatusOptions): Promise<number> {
  const endpoints = await listBrokers(context);
  const results = await Promise.all(endpoints.map((endpoint) => outcome(context, endpoint, options)));
  if (options.json)
    context.io.out(
      jsonLine({
        brokers: results.map(({ endpoint, status, error }) =>
          status === undefined ? { endpoint, error: failureToJson(error) } : { endpoint, status },
        ),
      }),
    );
  else context.io.out(results.flatMap(outcomeLines));
  if (results.some(({ status }) => status !== undefined)) return 0;
  // Not thrown: with --json the list is the whole output.
  return reportFailure(context.io, new BrokerError("BROKER_UNAVAILABLE", "no broker of this user is running"));
}

interface Outcome {
  readonly endpoint: string;
  readonly status?: JsonObject;
  readonly error?: BrokerError;
}

async function outcome(context: CliContext, endpoint: string, options: StatusOptions): Promise<Outcome> {
  try {
    return { endpoint, status: (await ask(context, endpoint, options)).status };
  } catch (error) {
    if (isBrokerError(error)) return { endpoint, error };
    throw error;
  }
}

function outcomeLines({ endpoint, status, error }: Outcome): string[] {
  if (status !== undefined) return statusLines(endpoint, status);
  if (hasCode(error, "BROKER_UNAVAILABLE"))
    return ["stale socket, no process listens (the next broker there replaces it)", `  ${endpoint}`];
  return ["broker does not answer", `  ${endpoint}`, `  ${describeFailure(error)[0]}`];
}

async function ask(
  context: CliContext,
  endpoint: string,
  options: StatusOptions,
): Promise<{ body: string; status: JsonObject; exitCode: number }> {
  const query = { verb: AdminVerb.STATUS, json: true };
  const { body, object, exitCode } = await askJson(context, PERMISSIONS.status, endpoint, query, options);
  return { body, status: object, exitCode };
}
