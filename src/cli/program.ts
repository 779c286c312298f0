/** The command line of `rpb` as a commander program. */
import { Command, CommanderError } from "commander";
import { LIBRARY_VERSION } from "../client/library.ts";
import { type CliContext, createContext } from "./shell/context.ts";
import { EXIT_USAGE } from "./shell/exit.ts";
import type { ProcessIo } from "./shell/process-io.ts";
import { VERBS } from "./verbs/index.ts";

const INTRODUCTION = `
A per-user broker for background daemons: it finds the running daemon of the version you
want, or launches it once, proves that it is the right binary, and gives you its endpoint.

Try it:
  rpb service add demo --binary /opt/demo/{version}/bin/demod   define a service
  rpb service check demo --version 1.2.0                        would it launch?
  rpb connect demo 1.2.0                                        reach it, starting what is missing
  rpb status                                                    see what runs
  rpb stop --all --with-backends                                end it all

Exit codes: 0 done, 2 usage, 69 not available, 75 try again, 77 not permitted, 78 configuration,
124 time was up; docs/errors.md lists the rest. Errors are written as "rpb: [CODE] text".`;

/** Does this command line make the process a broker? */
export function isBroker(args: readonly string[]): boolean {
  return args[0] === "serve";
}

/** Runs one command line and returns its exit code. Never throws. */
export async function runProgram(io: ProcessIo): Promise<number> {
  const context = createContext(io);
  try {
    const program = await buildProgram(context, verbOf(io.args));
    await program.parseAsync([...io.args], { from: "user" });
    return context.exitCode;
  } catch (error) {
    // Commander has written its text; help and version count as success, everything else is a usage error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    await context.run(() => Promise.reject(error));
    return context.exitCode;
  }
}

/** With `only`, the other verbs are known by name and summary alone, and their modules stay unloaded. */
export async function buildProgram(context: CliContext, only?: string): Promise<Command> {
  const { io } = context;
  const program = new Command("rpb")
    .description("running-process broker")
    .version(LIBRARY_VERSION, "-V, --version", "print the version of this package")
    // `--version` of `rpb serve` is the backend's: options in front of the verb are ours, options behind it the verb's.
    .enablePositionalOptions()
    .addHelpText("after", INTRODUCTION)
    .configureOutput({
      writeOut: (text) => io.out(linesOf(text)),
      writeErr: (text) => io.err(linesOf(text)),
      outputError: (text, write) => write(text.replace(/^error: /, "rpb: ")),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showHelpAfterError("(add --help to see options and examples)")
    .exitOverride();
  for (const [name, verb] of Object.entries(VERBS)) {
    if (only === undefined || only === name) (await verb.load()).register(program, context);
    else program.command(name).description(verb.summary);
  }
  return program;
}

/** The verb of `rpb [help] VERB …`; an empty word, which loads none, when there is none. */
function verbOf(args: readonly string[]): string {
  const words = args[0] === "help" ? args.slice(1) : args;
  return words[0] ?? "";
}

/** Commander's texts have line ends of their own, and quote nothing but our own arguments. */
function linesOf(text: string): string[] {
  return text.replace(/\n$/, "").split("\n");
}
