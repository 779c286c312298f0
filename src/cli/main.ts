/** From the start of a program to its exit status, whatever happens in between: the frame of `rpb` and the compat binary. */
import type { BrokerError } from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import { nodeErrno, systemCallFailed } from "../base/system-error.ts";
import { writeLastWords } from "../platform/platform.ts";
import { describeFailure, exitCodeOf } from "./exit.ts";
import { closeAllButOurs } from "./inherited-descriptors.ts";
import { createProcessIo, type ProcessIo } from "./process-io.ts";

export interface ProgramMain {
  /** Does this command line make the process a broker? */
  isBroker(args: readonly string[]): boolean;
  run(io: ProcessIo): Promise<number>;
  /** What it says and returns when its answer could not be written. */
  fail(io: ProcessIo, error: BrokerError): number;
}

/** Ends the process. Never rejects: an error that comes past every other handler is said in one line, without a trace. */
export async function runMain({ isBroker, run, fail }: ProgramMain): Promise<void> {
  process.on("uncaughtException", endWith);
  try {
    const broker = isBroker(process.argv.slice(2));
    // In the tick in which Node has loaded the program: in the next one a warning of its own opens a terminal's stream.
    if (broker) closeAllButOurs(process.env);
    const io = createProcessIo();
    const lost = broker ? undefined : watchOutput();
    const code = await run(io);
    const fault = code === 0 ? await lost?.() : undefined;
    await io.exit(fault === undefined ? code : fail(io, fault));
  } catch (error) {
    endWith(error);
  }
}

/**
 * Resolves with why standard output could not be written, once everything is: an answer that is lost on a full disk is none.
 * Undefined also for a reader that has gone; it has what it wanted.
 */
function watchOutput(): () => Promise<BrokerError | undefined> {
  let fault: BrokerError | undefined;
  process.stdout.on("error", (error) => {
    const errno = nodeErrno(error);
    if (errno === undefined || errno === "EPIPE") return;
    fault ??= systemCallFailed({ syscall: "write", errno, path: "standard output" }, error);
  });
  return async () => {
    await new Promise<void>((resolve) => process.stdout.write("", () => resolve()));
    return fault;
  };
}

/** Synchronous: nothing may be left that could fail or wait. */
function endWith(error: unknown): never {
  writeLastWords(`${describeFailure(error).map(printable).join("\n")}\n`);
  process.exit(exitCodeOf(error));
}
