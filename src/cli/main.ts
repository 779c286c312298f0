/** From the start of a program to its exit status, whatever happens in between: the frame of `rpb` and the compat binary. */
// biome-ignore lint/plugin: the last words of a process that can use no stream of its own.
import { writeSync } from "node:fs";
import { printable } from "../base/printable.ts";
import { describeFailure, exitCodeOf } from "./exit.ts";
import { createProcessIo, type ProcessIo } from "./process-io.ts";

export interface ProgramMain {
  /** Does this command line make the process a broker? */
  isBroker(args: readonly string[]): boolean;
  run(io: ProcessIo): Promise<number>;
}

/** Ends the process. Never rejects: an error that comes past every other handler is said in one line, without a trace. */
export async function runMain({ isBroker, run }: ProgramMain): Promise<void> {
  process.on("uncaughtException", endWith);
  try {
    // Before anything of our own is open, a terminal's stream included.
    if (isBroker(process.argv.slice(2)))
      await (await import("./inherited-descriptors.ts")).closeAllButOurs(process.env);
    const io = createProcessIo();
    await io.exit(await run(io));
  } catch (error) {
    endWith(error);
  }
}

const STDERR_FD = 2;

/** Synchronous: nothing may be left that could fail or wait. */
function endWith(error: unknown): never {
  try {
    writeSync(STDERR_FD, `${describeFailure(error).map(printable).join("\n")}\n`);
  } catch {
    // The status has to do.
  }
  process.exit(exitCodeOf(error));
}
