/**
 * Starts one broker and waits for its word: `ready ENDPOINT` (model/ready-line.ts) as the first line of its stdout. Its stderr goes to a log
 * file, whose end is what a failed start has to show. The broker is detached and outlives this process.
 */
import { Deadline } from "../base/clock.ts";
import { acquireAsync } from "../base/disposal-stack.ts";
import { BrokerError, ERROR_TABLE, hasCode, isBrokerError } from "../base/errors.ts";
import { exitText } from "../model/exit-status.ts";
import { readyLine } from "../model/ready-line.ts";
import type { LogFile, Platform, SpawnedProcess, Transferable } from "../platform/ports/index.ts";
import { BROKER_LOG_BYTES, type BrokerStart } from "./start-command.ts";

export type LaunchPorts = Pick<Platform, "clock" | "files" | "processes">;

/** From spawn to ready. Not cut short by the caller's own limit: a broker once begun serves the next caller. */
const BROKER_READY_LIMIT_MS = 10_000;
/** For a process that has closed its stdout to end. */
const EXIT_LIMIT_MS = 2_000;
const LOG_TAIL_BYTES = 4096;

/**
 * `already-running`: the broker found another one and ended.
 *
 * @throws BrokerError BROKER_START_FAILED with `logTail`, `logPath`, `exit` as far as known; nothing is left running
 */
export async function launchBroker(platform: LaunchPorts, start: BrokerStart): Promise<"ready" | "already-running"> {
  const log = await openLog(platform, start.logPath);
  try {
    return await launch(platform, start, log?.transferable);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    const tail = lastWords(log);
    const lastLine = tail === "" ? "" : `: ${tail.slice(tail.lastIndexOf("\n") + 1)}`;
    throw new BrokerError("BROKER_START_FAILED", `${error.reason}${lastLine}`, {
      details: {
        ...error.details,
        ...(tail !== "" && { logTail: tail }),
        ...(log !== undefined && { logPath: start.logPath }),
      },
      cause: error,
    });
  } finally {
    log?.close();
  }
}

async function launch(
  platform: LaunchPorts,
  start: BrokerStart,
  output: Transferable | undefined,
): Promise<"ready" | "already-running"> {
  const { file, args, env, endpoint } = start;
  const options = { file, args, env, cwd: "/", ...(output !== undefined && { output }) };
  const { child, line } = await awaitLine(platform, options);
  try {
    const expected = readyLine(endpoint);
    if (line === expected) return "ready";
    if (line !== undefined)
      throw failed(`the started broker said ${JSON.stringify(line)} instead of ${JSON.stringify(expected)}`, child);
    await exitOf(child, Deadline.after(platform.clock, EXIT_LIMIT_MS));
    if (child.exitStatus?.code === ERROR_TABLE.BROKER_ALREADY_RUNNING.exit) return "already-running";
    throw failed(`the started broker ended before it was ready (${describeExit(child)})`, child);
  } catch (error) {
    child.kill();
    throw error;
  } finally {
    child.close();
  }
}

async function awaitLine(
  platform: LaunchPorts,
  options: Parameters<LaunchPorts["processes"]["spawnAndAwaitLine"]>[0],
): ReturnType<LaunchPorts["processes"]["spawnAndAwaitLine"]> {
  try {
    return await platform.processes.spawnAndAwaitLine(options, Deadline.after(platform.clock, BROKER_READY_LIMIT_MS));
  } catch (error) {
    if (!hasCode(error, "DEADLINE_EXCEEDED")) throw error;
    throw new BrokerError(
      "BROKER_START_FAILED",
      `the started broker was not ready within ${BROKER_READY_LIMIT_MS} ms and was ended`,
      { details: error.details, cause: error },
    );
  }
}

/** Resolves when the child has ended or the deadline has passed. */
function exitOf(child: SpawnedProcess, deadline: Deadline): Promise<void> {
  return new Promise((resolve) => {
    const timer = deadline.arm(resolve);
    child.onExit(() => {
      timer.cancel();
      resolve();
    });
  });
}

function describeExit(child: SpawnedProcess): string {
  const { exitStatus } = child;
  if (exitStatus === undefined) return "it closed its output but did not exit";
  return exitStatus.signal === null ? `exit ${exitText(exitStatus)}` : exitText(exitStatus);
}

function failed(what: string, child: SpawnedProcess): BrokerError {
  const { exitStatus } = child;
  const exit = exitStatus && (exitStatus.signal ?? String(exitStatus.code));
  return new BrokerError("BROKER_START_FAILED", what, {
    details: { pid: child.pid, ...(exit !== undefined && { exit }) },
  });
}

/** Undefined when there is no log to be had: a broker without one is better than none. */
async function openLog({ files }: LaunchPorts, path: string): Promise<LogFile | undefined> {
  try {
    return await acquireAsync(async (held) => {
      files.ensurePrivateDirectory(files.paths.dirname(path));
      const log = held.use(files.openLog(path));
      // Of brokers that did not bound their log by themselves.
      if (log.size() > BROKER_LOG_BYTES) await log.rotate(BROKER_LOG_BYTES);
      log.mark();
      return log;
    });
  } catch {
    return undefined;
  }
}

function lastWords(log: LogFile | undefined): string {
  try {
    return log?.words(LOG_TAIL_BYTES).trimEnd() ?? "";
  } catch {
    return "";
  }
}
