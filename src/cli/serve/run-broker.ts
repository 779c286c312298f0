/** One broker in the foreground: from start to the last log line. Shared by `rpb serve` and the compat binary. */
import { BrokerError, ERROR_TABLE } from "../../base/errors.ts";
import {
  type Broker,
  type BrokerEvent,
  type BrokerOptions,
  type CloseReason,
  startBroker,
} from "../../broker/index.ts";
import { createEventFold, recordRow, type SuccessorCommand } from "../../broker/internal.ts";
import { SUCCESSION_FD_VARIABLE } from "../../model/launch-environment.ts";
import type { Env, Platform } from "../../platform/ports/index.ts";
import { successionFd } from "../shell/inherited-descriptors.ts";
import type { ProcessIo } from "../shell/process-io.ts";
import type { BrokerLog } from "./broker-log.ts";
import { createLeisure, type Leisure } from "./quiet-timer.ts";

export interface RunBrokerOptions {
  readonly io: ProcessIo;
  readonly log: BrokerLog;
  readonly broker: Omit<BrokerOptions, "onEvent">;
  /** It accepts. */
  readonly onReady?: (endpoint: string) => void;
}

/** A supervisor that restarts on failure is to do so only where a new broker is missed. */
const EXIT: Readonly<Record<CloseReason, number>> = {
  requested: 0,
  signal: 0,
  "max-connections": 0,
  idle: 0,
  "lost-endpoint": ERROR_TABLE.IO_FAILED.exit,
  replaced: 0,
};

/** Nobody has asked for anything for so long that nobody will mind the time of a collection. */
const LEISURE_MS = 2_000;

/** As shells show a program that a signal ended. */
const SIGNAL_EXIT = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * Runs until the broker has ended and returns the exit code that goes with the reason. The first SIGTERM or SIGINT ends
 * it in an orderly way, the second one at once. SIGHUP has a new process take its place, unless it is the terminal that
 * hangs up.
 *
 * @throws BrokerError what `startBroker` throws, BROKER_ALREADY_RUNNING above all
 */
export async function runBroker({ io, log, broker: options, onReady }: RunBrokerOptions): Promise<number> {
  io.becomeDaemon();
  const takesOver = io.env[SUCCESSION_FD_VARIABLE] !== undefined;
  let leisure: Leisure | undefined;
  let signals = 0;
  let broker: Broker | undefined;
  const subscription = io.onTermination((signal) => {
    signals++;
    if (signals > 1) {
      log({ type: "broker-killed", level: "warn", message: `second ${signal}, ending at once`, reason: "signal" });
      void io.exit(SIGNAL_EXIT[signal]);
    } else if (broker !== undefined) void broker.stop({ reason: "signal" });
    // It is nothing yet: the broker whose place it was to take goes on.
    else if (takesOver) void io.exit(SIGNAL_EXIT[signal]);
  });
  const hangups = io.onHangup(() => {
    if (io.stderrIsTerminal || io.stdoutIsTerminal) void broker?.stop({ reason: "signal" });
    // It says in the log how it went.
    else broker?.restart().catch(() => {});
  });
  const fold = createEventFold({
    clock: options.platform.clock,
    tell: ({ event, count }) => log(counted(event, count)),
  });
  try {
    const heap = await io.heap();
    leisure = createLeisure(options.platform.clock, LEISURE_MS, () => heap.tidy());
    const predecessorFd = inheritedFd(io.env);
    const running = await startBroker({
      ...options,
      successor: () => successorCommand(io, options.platform),
      ...(predecessorFd !== undefined && { predecessorFd }),
      onEvent: (event) => {
        leisure?.disturb();
        // Who asks for the debug level wants to see each Hello; the limit of the log bounds that, too.
        if (event.level !== "debug" && recordRow(event)?.often === true) return fold.offer(event, true);
        // The reason of the end is the last line.
        if (event.type === "broker-stopped") fold.flush();
        log(event);
      },
    });
    broker = running;
    await stoppingOnFault(running, () => {
      // Not earlier: code that Node brings along compiled is only taken as such while V8's flags are the usual ones.
      heap.keepSmall();
      io.closeUnaskedDebugger();
      // A signal that came while it started.
      if (signals > 0) void running.stop({ reason: "signal" });
      // The process that started the one before has been told.
      else if (predecessorFd === undefined) onReady?.(running.endpoint);
    });
    return EXIT[await running.closed];
  } finally {
    fold.close();
    leisure?.close();
    subscription.dispose();
    hangups.dispose();
  }
}

/** Until its end is waited for, a broker that runs is ended when a step fails: nothing is left at its address. */
async function stoppingOnFault(broker: Broker, steps: () => void): Promise<void> {
  try {
    steps();
  } catch (error) {
    await broker.stop({ reason: "requested" });
    throw error;
  }
}

function counted(event: BrokerEvent, count: number): BrokerEvent {
  return count === 1 ? event : { ...event, message: `${event.message} (the last of ${count} like it)`, count };
}

const STDERR_FD = 2;

/** The same command line, whatever is at its paths by then; what it prints goes where our log goes. */
function successorCommand(io: ProcessIo, { files, processes }: Platform): SuccessorCommand {
  return { ...processes.selfCommand, env: io.env, cwd: cwdOf(io, files), outputFd: STDERR_FD };
}

/** The directory may be gone by now; only relative paths need it. */
function cwdOf(io: ProcessIo, files: Platform["files"]): string {
  try {
    return files.facts(io.cwd)?.kind === "directory" ? io.cwd : "/";
  } catch {
    return "/";
  }
}

function inheritedFd(env: Env): number | undefined {
  const text = env[SUCCESSION_FD_VARIABLE];
  const fd = successionFd(env);
  if (text === undefined || fd !== undefined) return fd;
  throw new BrokerError(
    "OPTION_INVALID",
    `${SUCCESSION_FD_VARIABLE} must be a descriptor number, got ${JSON.stringify(text)}`,
  );
}
