/** The serving commands of the compat binary. They print nothing on stdout; what goes wrong is said on stderr. */
import { isBrokerError } from "../../base/errors.ts";
import type { BrokerOptions } from "../../broker/index.ts";
import { serveOnce } from "../../broker/internal.ts";
import { givenEndpoint, logDirectory } from "../../model/places.ts";
import { openDefinitions } from "../ask/open-definitions.ts";
import type { BrokerLog } from "../serve/broker-log.ts";
import { runBroker } from "../serve/run-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { absolutePath } from "../shell/option-parsers.ts";
import { CompatUsageError, maxConnections, option, required } from "./args.ts";

type Args = { readonly words: readonly string[] };

/** @throws CompatUsageError */
export async function serveLaunching(context: CliContext, { words }: Args): Promise<number> {
  const socket = socketOf(words, "--serve-launch");
  const count = maxConnections(words);
  return attempt(context, "serve-launch", async () =>
    runBroker({
      io: context.io,
      log: stderrLog(context),
      broker: await brokerOptions(context, words, { socket, count }),
    }),
  );
}

/** @throws CompatUsageError */
export async function serveRegistered(context: CliContext, { words }: Args): Promise<number> {
  const socket = socketOf(words, "--serve");
  const handoffEndpoint = option(words, "--handoff-endpoint");
  const registered = {
    service: required(words, "--service", "--serve"),
    version: required(words, "--version", "--serve"),
    endpoint: required(words, "--backend-endpoint", "--serve"),
  };
  const count = maxConnections(words);
  return attempt(context, "serve", async () =>
    runBroker({
      io: context.io,
      log: stderrLog(context),
      broker: {
        ...(await brokerOptions(context, words, { socket, count })),
        registered: {
          ...registered,
          // Of an empty one the broker says what the reference does.
          endpoint: registered.endpoint && endpointAt(context, registered.endpoint, "--backend-endpoint"),
          ...(handoffEndpoint && { handoffEndpoint: endpointAt(context, handoffEndpoint, "--handoff-endpoint") }),
        },
      },
    }),
  );
}

/** @throws BrokerError ENDPOINT_INVALID, PATH_TOO_LONG */
function endpointAt({ io, places }: CliContext, path: string, source: string): string {
  return givenEndpoint(places.os, absolutePath(path, io.cwd), source);
}

/** @throws CompatUsageError */
export async function serveOneHello(context: CliContext, { words }: Args): Promise<number> {
  const socket = socketOf(words, "--serve-once");
  return attempt(context, "serve-once", async () => {
    await serveOnce(await context.platform(), endpointAt(context, socket, "--serve-once"));
    return 0;
  });
}

function socketOf(words: readonly string[], command: string): string {
  const socket = words[1];
  if (socket === undefined || socket === "")
    throw new CompatUsageError(`${command} requires a socket path or pipe name`);
  return socket;
}

async function brokerOptions(
  context: CliContext,
  words: readonly string[],
  { socket, count }: { socket: string; count: number | undefined },
): Promise<Omit<BrokerOptions, "onEvent">> {
  const { io, places } = context;
  const { store, source } = await openDefinitions(context, option(words, "--service-def-dir"));
  return {
    platform: await context.platform(),
    env: io.env,
    endpoint: endpointAt(context, socket, "--serve"),
    definitionDirectory: store.directory,
    definitionDirectorySource: source,
    logDirectory: logDirectory(places),
    home: places.home,
    ...(count !== undefined && { maxConnections: count }),
  };
}

/** The reference's binary exits with 1 whatever went wrong. */
async function attempt(context: CliContext, what: string, work: () => Promise<number>): Promise<number> {
  try {
    return (await work()) === 0 ? 0 : 1;
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    context.io.err(`${what} failed: ${error.reason}`);
    return 1;
  }
}

/** Plain lines, as the reference writes them, and only what an operator has to know. */
function stderrLog(context: CliContext): BrokerLog {
  return ({ level, message }) => {
    if (level === "warn" || level === "error") context.io.err(`running-process-broker: ${message}`);
  };
}
