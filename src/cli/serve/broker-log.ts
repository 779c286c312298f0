/** What a broker says, as lines on stderr: JSON for machines, or readable in a terminal. */

import { type LevelWithSilent, pino } from "pino";
import { isBrokerError } from "../../base/errors.ts";
import { printable, printableJson } from "../../base/printable.ts";
import type { BrokerEvent } from "../../broker/index.ts";
import type { ProcessIo } from "../shell/process-io.ts";

export const LOG_FORMATS = ["json", "pretty"] as const;
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const satisfies readonly LevelWithSilent[];

export interface BrokerLogOptions {
  /** Default: `pretty` in a terminal, else `json`. */
  readonly format?: (typeof LOG_FORMATS)[number];
  /** Default `info`. */
  readonly level?: (typeof LOG_LEVELS)[number];
}

export type BrokerLog = (event: BrokerEvent) => void;

/** `pid` is the broker's and becomes `broker_pid`; an event's own `pid` is the process it is about. */
export async function createBrokerLog(
  io: Pick<ProcessIo, "log" | "stderrIsTerminal">,
  pid: number,
  options: BrokerLogOptions,
): Promise<BrokerLog> {
  const format =
    (options.format ?? (io.stderrIsTerminal ? "pretty" : "json")) === "pretty"
      ? await prettyLine(io.stderrIsTerminal)
      : printableJson;
  const logger = pino(
    {
      level: options.level ?? "info",
      base: { broker_pid: pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => io.log(format(line)) },
  );
  return (event) => {
    // Each connection says something at debug level, which costs more to prepare than to leave.
    if (!logger.isLevelEnabled(event.level)) return;
    const { level, message, ...fields } = event;
    logger[level](Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plain(value)])), message);
  };
}

/** pino-pretty is loaded only when a person looks on. */
async function prettyLine(colorize: boolean): Promise<(line: string) => string> {
  const { prettyFactory } = await import("pino-pretty");
  const pretty = prettyFactory({ colorize, translateTime: "SYS:HH:MM:ss.l", ignore: "broker_pid,type" });
  // Before it is made pretty: afterwards our own colours and line ends could not be told from those of others.
  return (line) => pretty(JSON.parse(line, printableValue));
}

/** Longer texts, such as a log's end or a stack, become lists of lines. */
function printableValue(name: string, value: unknown): unknown {
  if (typeof value !== "string") return value;
  return name !== "msg" && value.includes("\n") ? value.split("\n").map(printable) : printable(value);
}

function plain(value: unknown): unknown {
  if (isBrokerError(value)) return { code: value.code, message: value.reason, ...value.details };
  return value instanceof Error ? (value.stack ?? value.message) : value;
}
