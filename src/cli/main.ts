/** From the start of a program to its exit status, whatever happens in between: the frame of `rpb` and the compat binary. */
import type { BrokerError } from "../base/errors.ts";
import { writeLastWords } from "../platform/platform.ts";
import { describeFailure, exitCodeOf } from "./shell/exit.ts";
import { closeAllButOurs } from "./shell/inherited-descriptors.ts";
import { joined } from "./shell/output.ts";
import { createProcessIo, type ProcessIo } from "./shell/process-io.ts";

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
    const code = await run(io);
    const fault = code === 0 && !broker ? await io.outputFault() : undefined;
    await io.exit(fault === undefined ? code : fail(io, fault));
  } catch (error) {
    endWith(error);
  }
}

/** Synchronous: nothing may be left that could fail or wait. */
function endWith(error: unknown): never {
  writeLastWords(joined(describeFailure(error)));
  process.exit(exitCodeOf(error));
}
