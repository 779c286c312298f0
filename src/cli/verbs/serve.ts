/** `rpb serve`: a broker in the foreground. */
import { type Command, Option } from "commander";
import { BrokerError, reasonOf } from "../../base/errors.ts";
import type { BrokerOptions, RegisteredBackend } from "../../broker/index.ts";
import { BROKER_LOG_BYTES, brokerLogPath } from "../../client/start-command.ts";
import type { WantedBackend } from "../../model/backend-key.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import { decodeIdentitySidecar } from "../../model/identity-sidecar.ts";
import { type Instance, parseInstanceId } from "../../model/names.ts";
import { givenEndpoint, logDirectory } from "../../model/places.ts";
import { readyLine } from "../../model/ready-line.ts";
import { instanceOf } from "../../model/service-definition.ts";
import type { DefinitionStore } from "../../store/definition-store.ts";
import { createOwnLog, type OwnLog } from "../../store/own-log.ts";
import { openDefinitions } from "../ask/open-definitions.ts";
import { instanceEndpoint } from "../ask/select-broker.ts";
import { type BrokerLogOptions, createBrokerLog, LOG_FORMATS, LOG_LEVELS } from "../serve/broker-log.ts";
import { checkPrivilege } from "../serve/privilege-gate.ts";
import { runBroker } from "../serve/run-broker.ts";
import type { CliContext } from "../shell/context.ts";
import {
  absolutePath,
  collectWanted,
  parseCount,
  parseDuration,
  parseInstance,
  parseNonEmpty,
  parsePositiveCount,
} from "../shell/option-parsers.ts";

interface ServeFlags {
  readonly socket?: string;
  readonly instance?: string;
  readonly serviceDefDir?: string;
  readonly maxConnections?: number;
  readonly helloRate?: number;
  readonly idleExit?: number;
  readonly launch?: readonly WantedBackend[];
  readonly service?: string;
  readonly version?: string;
  readonly backendEndpoint?: string;
  readonly backendIdentity?: string;
  readonly handoffEndpoint?: string;
  readonly logFormat?: NonNullable<BrokerLogOptions["format"]>;
  readonly logLevel?: NonNullable<BrokerLogOptions["level"]>;
}

const HELP = `
Launching mode (the default) starts backends as clients ask for them; they outlive the broker. With --instance (or
without --socket) only services of that instance are served; with --socket alone, all are.
Registered mode serves one backend that runs already and launches nothing; --service, --version and
--backend-endpoint go together. It must answer the identity probe; --backend-identity says who it must be, and
--handoff-endpoint where it takes over the connections of clients that offer it (otherwise they reconnect).

Prints "ready <endpoint>" as the first line on stdout when it accepts (an endpoint with control characters as a JSON
string); logs go to stderr. SIGTERM or SIGINT ends it,
a second one at once. Clients start a broker by themselves: this verb is for supervisors and for looking on.
Exit 0 ended, 74 its socket was taken away for good, 75 another broker has the endpoint, 77 run as root or in a
directory that is not private.

Examples:
  rpb serve
  rpb serve --instance private:demo --log-level debug
  rpb serve --launch demo@1.2.0
  rpb serve --service demo --version 1.2.0 --backend-endpoint /run/user/1000/demo.sock`;

export function register(program: Command, context: CliContext): void {
  program
    .command("serve")
    .description("Run a broker in the foreground.")
    .option("--socket <endpoint>", "where to listen (default: the address of --instance)", parseNonEmpty)
    .option("--instance <id>", "serve this instance: shared (default), private:SERVICE or explicit:NAME", parseInstance)
    .option("--service-def-dir <directory>", "where service definitions are (default: the user's own)", parseNonEmpty)
    .option("--max-connections <n>", "end after this many connections", parsePositiveCount)
    .option("--hello-rate <n>", "Hellos one process may send in a second, 0 for no limit (default: 256)", parseCount)
    .option(
      "--idle-exit <duration>",
      "end after this long without connections and backends (default: never)",
      parseDuration,
    )
    .option(
      "--launch <service@version>",
      "launch this backend at once, before anybody asks for it (repeatable)",
      collectWanted,
    )
    .option("--service <name>", "registered mode: the service", parseNonEmpty)
    .option("--version <version>", "registered mode: its version", parseNonEmpty)
    .option("--backend-endpoint <endpoint>", "registered mode: where the backend listens", parseNonEmpty)
    .option("--backend-identity <file>", "registered mode: its identity sidecar (JSON)", parseNonEmpty)
    .option("--handoff-endpoint <endpoint>", "registered mode: where it takes connections over", parseNonEmpty)
    .addOption(
      new Option("--log-format <format>", "default: pretty in a terminal, else json").choices([...LOG_FORMATS]),
    )
    .addOption(new Option("--log-level <level>", "default: info").choices([...LOG_LEVELS]))
    .addHelpText("after", HELP)
    .action((flags: ServeFlags) => context.run(() => serve(context, flags)));
}

async function serve(context: CliContext, flags: ServeFlags): Promise<number> {
  const { io } = context;
  const platform = await context.platform();
  checkPrivilege(platform, io.env);
  const broker = await brokerOptions(context, flags);
  const own = ownLog(context, broker);
  const write = own === undefined ? io.log : (text: string) => own.write(text);
  const output = { stderrIsTerminal: io.stderrIsTerminal, log: write };
  const log = await createBrokerLog(output, platform.processes.selfPid, {
    ...(flags.logFormat && { format: flags.logFormat }),
    ...(flags.logLevel && { level: flags.logLevel }),
  });
  return runBroker({ io, log, broker, onReady: (endpoint) => io.out(readyLine(endpoint)) });
}

/**
 * The file that a client gives the broker it starts as stderr, which the broker keeps within its limit. Any other stderr is
 * the business of the program that chose it.
 */
function ownLog(
  { io, places }: CliContext,
  { platform, endpoint, instance }: Omit<BrokerOptions, "onEvent">,
): OwnLog | undefined {
  const path = brokerLogPath(places, { endpoint, instance });
  if (!io.stderrIs(path)) return undefined;
  try {
    return createOwnLog(platform.files.openLog(path), BROKER_LOG_BYTES);
  } catch (error) {
    io.err(`the log cannot be kept within its limit: ${reasonOf(error)}, ignoring`);
    return undefined;
  }
}

async function brokerOptions(context: CliContext, flags: ServeFlags): Promise<Omit<BrokerOptions, "onEvent">> {
  const { io, places } = context;
  const { store, source } = await openDefinitions(context, flags.serviceDefDir);
  const registered = await registeredBackend(context, flags);
  const instance = instanceToServe(flags, registered, store);
  return {
    platform: await context.platform(),
    env: io.env,
    endpoint:
      flags.socket === undefined
        ? await instanceEndpoint(context, instance ?? { kind: "shared" })
        : givenEndpoint(places.os, absolutePath(flags.socket, io.cwd), "--socket"),
    ...(instance !== undefined && { instance }),
    definitionDirectory: store.directory,
    definitionDirectorySource: source,
    logDirectory: logDirectory(places),
    home: places.home,
    ...(flags.maxConnections !== undefined && { maxConnections: flags.maxConnections }),
    ...(flags.helloRate !== undefined && { hellosPerSecond: flags.helloRate }),
    ...(flags.idleExit !== undefined && { idleExitMs: flags.idleExit }),
    ...(flags.launch !== undefined && { launch: flags.launch }),
    ...(registered !== undefined && { registered }),
  };
}

/** Undefined: all, which takes an address of its own. */
function instanceToServe(
  flags: ServeFlags,
  registered: RegisteredBackend | undefined,
  store: DefinitionStore,
): Instance | undefined {
  if (flags.instance !== undefined) return parseInstanceId(flags.instance);
  if (flags.socket !== undefined) return undefined;
  return registered === undefined ? { kind: "shared" } : instanceOf(store.load(registered.service));
}

async function registeredBackend(context: CliContext, flags: ServeFlags): Promise<RegisteredBackend | undefined> {
  const needed = {
    "--service": flags.service,
    "--version": flags.version,
    "--backend-endpoint": flags.backendEndpoint,
  };
  const missing = Object.entries(needed).filter(([, value]) => value === undefined);
  const more = flags.backendIdentity ?? flags.handoffEndpoint;
  if (missing.length === Object.keys(needed).length && more === undefined) return undefined;
  const { service, version, backendEndpoint: endpoint, handoffEndpoint } = flags;
  if (service === undefined || version === undefined || endpoint === undefined) {
    throw new BrokerError(
      "OPTION_INVALID",
      `registered mode also needs ${missing.map(([name]) => name).join(" and ")}; leave --service, --version, --backend-endpoint, --backend-identity and --handoff-endpoint out for launching mode`,
    );
  }
  if (flags.launch !== undefined)
    throw new BrokerError("OPTION_INVALID", "registered mode launches nothing; leave --launch out");
  const given = (path: string, option: string): string =>
    givenEndpoint(context.places.os, absolutePath(path, context.io.cwd), option);
  const expected = flags.backendIdentity === undefined ? undefined : await readIdentity(context, flags.backendIdentity);
  return {
    service,
    version,
    endpoint: given(endpoint, "--backend-endpoint"),
    ...(expected !== undefined && { expected }),
    ...(handoffEndpoint !== undefined && { handoffEndpoint: given(handoffEndpoint, "--handoff-endpoint") }),
  };
}

/** A sidecar has a few hundred bytes. */
const MAX_SIDECAR_BYTES = 64 * 1024;

async function readIdentity(context: CliContext, file: string): Promise<BackendIdentity> {
  const path = absolutePath(file, context.io.cwd);
  const found = (await context.platform()).files.read(path, MAX_SIDECAR_BYTES);
  if (found === undefined)
    throw new BrokerError("OPTION_INVALID", `there is no identity file ${path}`, { details: { path } });
  return decodeIdentitySidecar(found.bytes.toString("utf8"));
}
