/** `rpb diagnose`: has the broker write an archive that may be shown to others. */

import type { Command } from "commander";
import { BrokerError, type BrokerErrorCode, ERROR_TABLE } from "../../base/errors.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { type AdminVerbOptions, addAdminOptions, printAnswer, SELECTS_ONE } from "../ask/admin-verb.ts";
import { askJson } from "../ask/ask-json.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { absolutePath, parseNonEmpty } from "../shell/option-parsers.ts";
import { diagnoseText } from "../text/admin-text.ts";
import { isObject, type JsonObject } from "../text/json.ts";

interface DiagnoseOptions extends AdminVerbOptions {
  readonly output: string;
}

const HELP = `
The archive (mode 0600) holds what status, dump, config and metrics say, the last events, the table of backends and
facts about the machine: no output of backends. Taken out of it are the home directory, secrets and other users' names.
An older archive at the same place is replaced. Starts nothing.
${SELECTS_ONE}

Examples:
  rpb diagnose
  rpb diagnose --service demo --output /tmp/demo.tar.gz`;

export function register(program: Command, context: CliContext): void {
  addAdminOptions(program.command("diagnose").description("Write an archive for a bug report, without secrets."))
    .option("--output <file>", "where to write it", parseNonEmpty, "bundle.tar.gz")
    .addHelpText("after", HELP)
    .action((options: DiagnoseOptions) => context.run(() => diagnose(context, options), options));
}

async function diagnose(context: CliContext, options: DiagnoseOptions): Promise<number> {
  const endpoint = await selectBroker(context, options);
  // The broker's working directory is not ours.
  const query = { verb: AdminVerb.DIAGNOSE, outputPath: absolutePath(options.output, context.io.cwd) };
  const { body, object } = await askJson(context, PERMISSIONS.diagnose, endpoint, query, options);
  if (!isObject(object.bundle) || object.bundle.created !== true) throw notWritten(object, endpoint);
  printAnswer(context, options, body, () => diagnoseText(object));
  return 0;
}

function notWritten({ error }: JsonObject, endpoint: string): BrokerError {
  const { code, message } = isObject(error) ? error : {};
  if (typeof code === "string" && Object.hasOwn(ERROR_TABLE, code) && typeof message === "string")
    return new BrokerError(code as BrokerErrorCode, message);
  return new BrokerError("IO_FAILED", `the broker on ${endpoint} says that it wrote no archive`, {
    details: { path: endpoint },
  });
}
