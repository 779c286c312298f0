/**
 * `running-process-broker-v1`: the reference's command line, with its texts and exit codes (spec: admin §4, §9), for
 * scripts and unit files that exist. People use `rpb`.
 */
import { reasonOf } from "../../base/errors.ts";
import { LIBRARY_VERSION } from "../../client/library.ts";
import { checkPrivilege } from "../serve/privilege-gate.ts";
import { type CliContext, createContext } from "../shell/context.ts";
import { EXIT_USAGE } from "../shell/exit.ts";
import type { ProcessIo } from "../shell/process-io.ts";
import { ADMIN_COMMANDS, runAdminCommand } from "./admin.ts";
import { CompatUsageError, takeSocket } from "./args.ts";
import { serveLaunching, serveOneHello, serveRegistered } from "./serve.ts";
import { installServiceDefinition } from "./servicedef.ts";

const NAME = "running-process-broker-v1";

const USAGE = `usage: ${NAME} [--socket <endpoint>] <command>

  status [--json]            what the broker at the endpoint runs; without an endpoint a local snapshot
  healthz | readyz           does it answer; does it take new work (exit 1 when not)
  dump | list-instances | config | metrics | backend-health <service> | diagnose [--output <path>]
                             ask the broker at the endpoint
  servicedef install --service <name> --binary-path <path> [--isolation private|shared|explicit]
      [--explicit-instance <name>] [--per-version-binary-dir <dir>] [--min-version <v>]
      [--allow-version <v>]... [--service-def-dir <dir>] [--json]
  --serve-launch <socket> [--service-def-dir <dir>] [--max-connections <n>]
                             launch backends on demand
  --serve <socket> --service <name> --version <v> --backend-endpoint <endpoint>
      [--handoff-endpoint <endpoint>] [--service-def-dir <dir>] [--max-connections <n>]
                             serve one backend that runs already
  --serve-once <socket>      answer one Hello (with "unknown service")
  --version, -V | --help, -h

The endpoint is --socket, else RUNNING_PROCESS_BROKER_V1_SOCKET. Exit codes: 0 done, 1 failed, 2 usage.`.split("\n");

type Command = (
  context: CliContext,
  args: { words: readonly string[]; endpoint: string | undefined },
) => Promise<number>;

const BROKERS: Readonly<Record<string, Command>> = {
  "--serve": serveRegistered,
  "--serve-launch": serveLaunching,
  "--serve-once": serveOneHello,
};

const COMMANDS: Readonly<Record<string, Command>> = {
  "--version": version,
  "-V": version,
  "--help": help,
  "-h": help,
  servicedef: installServiceDefinition,
  ...BROKERS,
  ...Object.fromEntries(ADMIN_COMMANDS.map((name) => [name, runAdminCommand])),
};

/** Does this command line make the process a broker? */
export function isBroker(args: readonly string[]): boolean {
  const socket = args.indexOf("--socket");
  const [name] = socket === -1 ? args : args.toSpliced(socket, 2);
  return name !== undefined && Object.hasOwn(BROKERS, name);
}

/** Runs one command line and returns its exit code. Never throws. */
export async function runCompat(io: ProcessIo): Promise<number> {
  const context = createContext(io);
  try {
    checkPrivilege(await context.platform(), io.env);
    const args = takeSocket(io.args, io.env);
    const [name] = args.words;
    if (name === undefined) throw new CompatUsageError("no broker command provided", true);
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new CompatUsageError(`unsupported argument ${JSON.stringify(name)}`, true);
    return await command(context, args);
  } catch (error) {
    if (error instanceof CompatUsageError) {
      io.err([error.message, ...(error.withUsage ? USAGE : [])]);
      return EXIT_USAGE;
    }
    return failCompat(io, error);
  }
}

/** The reference's way to fail: its name, the reason, and 1 whatever it is. */
export function failCompat(io: Pick<ProcessIo, "err">, error: unknown): number {
  io.err(`${NAME}: ${reasonOf(error)}`);
  return 1;
}

async function version(context: CliContext): Promise<number> {
  context.io.out(`${NAME} ${LIBRARY_VERSION}`);
  return 0;
}

async function help(context: CliContext): Promise<number> {
  context.io.out(USAGE);
  return 0;
}
