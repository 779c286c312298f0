/** From a failure to what the user sees: the one place that knows exit codes and error lines of `rpb`. */

import { type BrokerErrorCode, ERROR_TABLE, type ErrorRow } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { brokerErrorFrom } from "../../base/system-error.ts";
import type { ProcessIo } from "./process-io.ts";

/** Usage errors, as getopt programs have it. */
export const EXIT_USAGE = 2;

export function exitCodeOf(error: unknown): number {
  return rowOf(brokerErrorFrom(error).code).exit;
}

/** An error of another copy of this package may have a code that this one does not know. */
function rowOf(code: BrokerErrorCode): ErrorRow {
  return Object.hasOwn(ERROR_TABLE, code) ? ERROR_TABLE[code] : ERROR_TABLE.INTERNAL;
}

/**
 * Writes the failure to stderr, and with `json` also as one JSON object to stdout. Returns the exit code.
 */
export function reportFailure(
  io: Pick<ProcessIo, "out" | "err">,
  error: unknown,
  options: { json?: boolean } = {},
): number {
  io.err(describeFailure(error));
  if (options.json) io.out(jsonLine({ error: failureToJson(error) }));
  return exitCodeOf(error);
}

/** What an error says beyond its text is fact, never a guess at the cause. */
const HINTS: Partial<Record<BrokerErrorCode, string>> = {
  BROKER_UNAVAILABLE: "clients start a broker when they need one; by hand: rpb serve",
  BROKER_ALREADY_RUNNING: "look at it with: rpb status",
  DEFINITION_NOT_FOUND: "see what is there with: rpb service list",
  SERVICE_UNKNOWN: "see what is there with: rpb service list",
  VERSION_BLOCKED: "see what is allowed with: rpb service show <name>",
  BACKEND_SPAWN_FAILED: "try the definition with: rpb service check <name> --version <version>",
};

export function describeFailure(thrown: unknown): string[] {
  const error = brokerErrorFrom(thrown);
  if (error.code === "INTERNAL" && error.cause instanceof Error) {
    const text = error.cause.stack ?? error.cause.message;
    return `rpb: [INTERNAL] this is a fault of rpb itself, please report it: ${text}`.split("\n");
  }
  const { retryAfterMs, logTail, logPath } = error.details;
  const hint = HINTS[error.code];
  return [
    `rpb: ${error.message}`,
    ...(hint === undefined ? [] : [`  ${hint}`]),
    ...(retryAfterMs === undefined ? [] : [`  try again in ${formatWait(retryAfterMs)}`]),
    ...(logPath === undefined ? [] : [`  log: ${logPath}`]),
    ...String(logTail ?? "")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => `  | ${line}`),
  ];
}

/** The fields of a failure that programs may rely on; absent ones are left out. */
export function failureToJson(thrown: unknown): Record<string, unknown> {
  const error = brokerErrorFrom(thrown);
  return {
    code: error.code,
    message: error.reason,
    exit: exitCodeOf(error),
    retry: rowOf(error.code).retry,
    ...error.details,
  };
}

function formatWait(ms: number): string {
  return ms < 1000 ? `${Math.ceil(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
