/** `rpb release-handles`: has every backend let go of a path, so that it can be moved or deleted. */

import type { Command } from "commander";
import { BrokerError, hasCode, isBrokerError } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { adminTimeoutMs } from "../../exchange/admin-client.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { askBroker, isUnknown, requestUnknown } from "../ask/ask-broker.ts";
import { listBrokers } from "../ask/list-brokers.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { addSelectorOptions, type BrokerSelector, namesOneBroker, selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { exitCodeOf, failureToJson, reportFailure } from "../shell/exit.ts";
import { parseDuration } from "../shell/option-parsers.ts";
import type { Lines } from "../shell/output.ts";
import { type JsonObject, parseObject, rowsOf } from "../text/json.ts";
import { alignColumns, cell } from "../text/status-text.ts";

interface ReleaseOptions extends BrokerSelector {
  readonly timeout: number;
  readonly json?: boolean;
}

const DEFAULT_TIMEOUT = "5s";

const HELP = `
Asks every backend of every broker of this user, or of the selected one, to close files, directories and watches at
and below PATH, and waits for their answers. Starts nothing and stops nothing. Each backend is one of:

  released      it let go of something
  nothing-held  it holds nothing there
  unsupported   it has no means to do this, and may hold the path
  timed-out     it has not answered in time, and may still let go
  failed        it could not; the reason comes along

Exit 0: all released or held nothing, or no broker runs; 1: one failed; 124: one timed out; 69: one is unsupported;
76: a broker of another version or make.

Examples:
  rpb release-handles ./build && rm -rf ./build
  rpb release-handles /srv/tree --timeout 30s --json`;

export function register(program: Command, context: CliContext): void {
  addSelectorOptions(
    program.command("release-handles").description("Have backends let go of a path.").argument("<path>"),
  )
    .option("--timeout <duration>", "how long each backend may take", parseDuration, parseDuration(DEFAULT_TIMEOUT))
    .option("--json", "JSON for programs")
    .addHelpText("after", HELP)
    .action((path: string, options: ReleaseOptions) => context.run(() => release(context, path, options), options));
}

interface Answer {
  readonly endpoint: string;
  readonly exitCode: number;
  readonly backends?: readonly JsonObject[];
  readonly error?: BrokerError;
}

async function release(context: CliContext, given: string, options: ReleaseOptions): Promise<number> {
  const path = await canonical(context, given);
  const answers = namesOneBroker(context, options)
    ? [await ask(context, await selectBroker(context, options), path, options)]
    : await askAll(context, path, options);
  if (options.json) {
    const brokers = answers.map(({ endpoint, backends, error }) =>
      error === undefined ? { endpoint, backends } : { endpoint, error: failureToJson(error) },
    );
    context.io.out(jsonLine({ schema_version: 1, command: "release-handles", path, brokers }));
  } else context.io.out(tableOf(answers));
  for (const { error } of answers) if (error !== undefined) reportFailure(context.io, error);
  return worst(answers.map(({ exitCode }) => exitCode));
}

/** Backends know files by their real names. What is not there cannot be resolved, and may be held all the same. */
async function canonical(context: CliContext, given: string): Promise<string> {
  const { files } = await context.platform();
  const resolved = files.paths.resolve(context.io.cwd, given);
  try {
    return files.realpath(resolved);
  } catch (error) {
    if (hasCode(error, "IO_FAILED")) return resolved;
    throw error;
  }
}

async function askAll(context: CliContext, path: string, options: ReleaseOptions): Promise<Answer[]> {
  const endpoints = await listBrokers(context);
  const answers = await Promise.all(
    endpoints.map(async (endpoint): Promise<Answer | undefined> => {
      try {
        return await ask(context, endpoint, path, options);
      } catch (error) {
        // A socket that a dead broker left.
        if (hasCode(error, "BROKER_UNAVAILABLE")) return undefined;
        if (isBrokerError(error)) return { endpoint, exitCode: exitCodeOf(error), error };
        throw error;
      }
    }),
  );
  return answers.filter((answer) => answer !== undefined);
}

async function ask(context: CliContext, endpoint: string, path: string, options: ReleaseOptions): Promise<Answer> {
  const answer = await askBroker(
    context,
    PERMISSIONS["release-handles"],
    endpoint,
    { verb: AdminVerb.RELEASE_HANDLES, json: true, path, timeoutMs: Math.max(1, options.timeout) },
    { timeoutMs: options.timeout + adminTimeoutMs(context.io.env) },
  );
  // Another broker's refusal is plain text.
  const backends = parseObject(answer.body)?.backends;
  if (Array.isArray(backends)) return { endpoint, exitCode: answer.exitCode, backends: rowsOf(backends) };
  if (!isUnknown(answer))
    throw new BrokerError("OPTION_INVALID", `the broker on ${endpoint} refuses the path: ${answer.body.trim()}`, {
      details: { path: endpoint },
    });
  throw requestUnknown(endpoint, answer, {
    cannot: "ask its backends",
    cure: "stop it with `rpb stop`, clients start one of this version",
  });
}

function tableOf(answers: readonly Answer[]): Lines {
  const rows = answers.flatMap(({ backends = [] }) => backends);
  if (rows.length === 0 && answers.every(({ error }) => error === undefined)) return "no backend runs";
  return alignColumns(
    rows.map((row) => [row.service_name, row.service_version, row.pid, row.result, row.detail ?? ""].map(cell)),
  );
}

/** A failure tells more than a time-out, both more than a broker that could not be asked; then what is unsupported. */
function worst(codes: readonly number[]): number {
  const bad = codes.filter((code) => code !== 0);
  return [1, 124].find((code) => bad.includes(code)) ?? bad.find((code) => code !== 69) ?? bad[0] ?? 0;
}
