/**
 * What a broker says, as lines on stderr: JSON for machines, or readable in a terminal.
 *
 * Whoever starts a broker waits for it, and loading the logger takes as long as everything else until it listens. So the
 * first lines wait, with their times, until the broker has most likely started what it was asked for.
 */
import type { Logger } from "pino";
import type { Clock, Timer } from "../base/clock.ts";
import { isBrokerError } from "../base/errors.ts";
import type { BrokerEvent } from "../broker/options.ts";
import { isoTime } from "../platform/platform.ts";
import type { ProcessIo } from "./process-io.ts";

export const LOG_FORMATS = ["json", "pretty"] as const;
/** By ascending importance. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

export interface BrokerLogOptions {
  /** Default: `pretty` in a terminal, else `json`. */
  readonly format?: (typeof LOG_FORMATS)[number];
  /** Default `info`. */
  readonly level?: (typeof LOG_LEVELS)[number];
}

export interface BrokerLog {
  write(event: BrokerEvent): void;
  /** Resolves when everything has been written. */
  flush(): Promise<void>;
}

const LOAD_AFTER_MS = 20;

/** `pid` is the broker's and becomes `broker_pid`; an event's own `pid` is the process it is about. */
export function createBrokerLog(
  io: Pick<ProcessIo, "err" | "stderrIsTerminal">,
  at: { readonly clock: Clock; readonly pid: number },
  options: BrokerLogOptions,
): BrokerLog {
  return new QueuedLog(at.clock, LOG_LEVELS.indexOf(options.level ?? "info"), () => loadSink(io, at.pid, options));
}

type Sink = (event: BrokerEvent, unixMs: number) => void;

class QueuedLog implements BrokerLog {
  private sink: Sink | undefined;
  private waiting: { event: BrokerEvent; unixMs: number }[] = [];
  private timer: Timer | undefined;
  private loading: Promise<void> | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly leastLevel: number,
    private readonly load: () => Promise<Sink>,
  ) {}

  write(event: BrokerEvent): void {
    // Each connection says something at debug level, which costs more to prepare than to leave.
    if (LOG_LEVELS.indexOf(event.level) < this.leastLevel) return;
    const unixMs = this.clock.wallMs();
    if (this.sink !== undefined) return this.sink(event, unixMs);
    this.waiting.push({ event, unixMs });
    this.timer ??= this.clock.schedule(LOAD_AFTER_MS, () => void this.flush());
  }

  async flush(): Promise<void> {
    this.timer?.cancel();
    if (this.waiting.length === 0) return;
    this.loading ??= this.open();
    await this.loading;
  }

  private async open(): Promise<void> {
    const sink = await this.load();
    for (const { event, unixMs } of this.waiting.splice(0)) sink(event, unixMs);
    this.sink = sink;
  }
}

async function loadSink(
  io: Pick<ProcessIo, "err" | "stderrIsTerminal">,
  pid: number,
  options: BrokerLogOptions,
): Promise<Sink> {
  const { pino } = await import("pino");
  const pretty = (options.format ?? (io.stderrIsTerminal ? "pretty" : "json")) === "pretty";
  const format = pretty ? await prettyLine(io.stderrIsTerminal) : (line: string) => line;
  let now = 0;
  const logger: Logger = pino(
    {
      level: options.level ?? "info",
      base: { broker_pid: pid },
      timestamp: () => `,"time":"${isoTime(now)}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => io.err(format(line)) },
  );
  return ({ level, message, ...fields }, unixMs) => {
    now = unixMs;
    logger[level](Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, plain(value)])), message);
  };
}

/** pino-pretty is loaded only when a person looks on. */
async function prettyLine(colorize: boolean): Promise<(line: string) => string> {
  const { prettyFactory } = await import("pino-pretty");
  return prettyFactory({ colorize, translateTime: "SYS:HH:MM:ss.l", ignore: "broker_pid,type" });
}

function plain(value: unknown): unknown {
  if (isBrokerError(value)) return { code: value.code, message: value.reason, ...value.details };
  return value instanceof Error ? (value.stack ?? value.message) : value;
}
