/** `rpb connect`: what a client does, from the command line, with everything it learns. */

import type { Socket } from "node:net";
import { type Command, Option } from "commander";
import { isBrokerError } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { type Connected, connect } from "../../client/index.ts";
import { probeEndpoint } from "../../exchange/probe-endpoint.ts";
import type { BackendIdentity } from "../../model/identity.ts";
import { givenEndpoint } from "../../model/places.ts";
import { openDefinitions } from "../ask/open-definitions.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import type { CliContext } from "../shell/context.ts";
import { absolutePath, parseDuration, parseNonEmpty } from "../shell/option-parsers.ts";
import { relay } from "../shell/relay.ts";

interface ConnectFlags {
  readonly json?: boolean;
  readonly pipe?: boolean;
  readonly adopt?: boolean;
  /** commander's form of --no-start. */
  readonly start: boolean;
  readonly timeout?: number;
  readonly broker?: string;
  readonly serviceDefDir?: string;
}

/** A plain daemon closes at once; one that serves others first, or none before this is over, sees the connection end. */
const LEAVE_MS = 2_000;

const HELP = `
Starts the broker of the service's instance when it does not run, which in turn launches the backend when that
version does not run; both stay. With --no-start no broker is started (one that runs still launches backends).
RUNNING_PROCESS_DISABLE=1 turns it all off (exit 69).

--json prints {"route", "endpoint", "timings", "negotiated", "identity", …}: route is "negotiated", or "handed-off"
when the broker passed its own connection on (--adopt), timings are milliseconds, identity is what the backend answers to a
probe, or null: only a backend whose definition here says exec.ready = probe is asked.
--pipe connects stdin and stdout to the backend, byte for byte, until both directions have ended.

Examples:
  rpb connect demo 1.2.0
  rpb connect demo 1.2.0 --json --timeout 5s
  echo hello | rpb connect demo 1.2.0 --pipe`;

export function register(program: Command, context: CliContext): void {
  program
    .command("connect")
    .description("Reach a service in exactly one version, starting what is missing.")
    .argument("<service>", "name of the service")
    .argument("<version>", "MAJOR.MINOR.PATCH[-prerelease]")
    .option("--json", "JSON for programs")
    .addOption(new Option("--pipe", "relay stdin and stdout").conflicts("json"))
    .option("--adopt", "keep the connection to the broker when it hands that to the backend")
    .option("--no-start", "fail with BROKER_UNAVAILABLE rather than start a broker")
    .option("--timeout <duration>", "for everything up to the connection (default: 30s)", parseDuration)
    .option(
      "--broker <endpoint>",
      "ask this broker (default: RUNNING_PROCESS_BROKER_V1_SOCKET, else that of the service's instance)",
      parseNonEmpty,
    )
    .option("--service-def-dir <directory>", "where service definitions are (default: the user's own)", parseNonEmpty)
    .addHelpText("after", HELP)
    .action((service: string, version: string, flags: ConnectFlags) =>
      context.run(() => run(context, { service, version, flags }), flags),
    );
}

async function run(
  context: CliContext,
  { service, version, flags }: { service: string; version: string; flags: ConnectFlags },
): Promise<number> {
  const connected = await connect({
    service,
    version,
    env: context.io.env,
    broker: {
      autoStart: PERMISSIONS.connect.mayStart && flags.start,
      ...(flags.broker !== undefined && { endpoint: givenEndpoint(context.places.os, flags.broker, "--broker") }),
    },
    ...(flags.adopt && { adopt: true }),
    ...(flags.timeout !== undefined && { timeoutMs: flags.timeout }),
    ...(flags.serviceDefDir !== undefined && {
      definitionDirectory: absolutePath(flags.serviceDefDir, context.io.cwd),
    }),
  });
  if (flags.pipe) return pipe(context, connected);
  if (connected.route === "fallback") {
    connected.socket.destroy();
    throw connected.fallbackReason;
  }
  const knowsUs = await answersProbes(context, service, flags);
  const left = knowsUs ? connected.socket.destroy() : leave(context, connected.socket);
  const identity = knowsUs && flags.json ? await identityAt(context, connected.endpoint) : undefined;
  context.io.out(flags.json ? jsonLine(reportOf(connected, identity)) : reportLines(service, version, connected));
  await left;
  return 0;
}

/**
 * Ends a connection on which nothing is asked in such a way that a program that answers all the same, and knows no SIGPIPE,
 * survives: it is listened to until it closes, for a while. Consumes the socket; never rejects.
 */
async function leave(context: CliContext, socket: Socket): Promise<void> {
  const { clock } = await context.platform();
  await new Promise<void>((resolve) => {
    const timer = clock.schedule(LEAVE_MS, resolve);
    socket.once("close", () => {
      timer.cancel();
      resolve();
    });
    socket.on("error", () => {});
    socket.resume();
    socket.end();
  });
  socket.destroy();
}

async function pipe(context: CliContext, connected: Connected): Promise<number> {
  const { stdin, stdout } = context.io;
  await relay(connected.socket, { input: stdin, output: stdout, endOutput: () => context.io.endOutput() });
  return 0;
}

/**
 * Only a backend whose definition says so is sent a probe: to any other program it is a connection with bytes that it cannot
 * understand. No definition says nothing.
 */
async function answersProbes(context: CliContext, service: string, flags: ConnectFlags): Promise<boolean> {
  try {
    const { store } = await openDefinitions(context, flags.serviceDefDir);
    return store.load(service).exec.ready === "probe";
  } catch (error) {
    if (isBrokerError(error)) return false;
    throw error;
  }
}

async function identityAt(context: CliContext, endpoint: string): Promise<BackendIdentity | undefined> {
  try {
    const { identity, listener } = await probeEndpoint(await context.platform(), endpoint);
    listener?.close();
    return identity;
  } catch (error) {
    // The definition that the broker launched it by may be another one than ours.
    if (isBrokerError(error)) return undefined;
    throw error;
  }
}

type Reached = Exclude<Connected, { route: "fallback" }>;

function reportOf(connected: Reached, identity: BackendIdentity | undefined): Record<string, unknown> {
  const negotiated = connected.route === "skip" ? undefined : connected.negotiated;
  return {
    route: connected.route,
    endpoint: connected.endpoint,
    timings: Object.fromEntries(
      Object.entries(connected.timings).map(([step, ms]) => [step, Math.round(ms * 1000) / 1000]),
    ),
    negotiated:
      negotiated === undefined
        ? null
        : {
            ...negotiated,
            serverCapabilities: Number(negotiated.serverCapabilities),
            connectionId: Number(negotiated.connectionId),
          },
    ...(connected.route !== "skip" && { attempts: connected.attempts, startedBroker: connected.startedBroker }),
    identity: identity === undefined ? null : identityToJson(identity),
  };
}

function identityToJson(identity: BackendIdentity): Record<string, unknown> {
  const { sha256, blake3, ...rest } = identity;
  return {
    ...rest,
    ...(sha256 && { sha256: Buffer.from(sha256).toString("hex") }),
    ...(blake3 && { blake3: Buffer.from(blake3).toString("hex") }),
  };
}

function reportLines(service: string, version: string, connected: Reached): string[] {
  const { timings } = connected;
  const steps = [
    ["broker", timings.brokerMs],
    ["hello", timings.helloMs],
    ["backend", timings.dialMs],
  ] as const;
  const parts = steps.filter(([, ms]) => ms !== undefined).map(([name, ms]) => `${name} ${(ms ?? 0).toFixed(1)}`);
  const started = connected.route !== "skip" && connected.startedBroker ? ", broker started" : "";
  return [
    `${service} ${version}: ${connected.route}${started}`,
    `  endpoint  ${connected.endpoint}`,
    `  time      ${timings.totalMs.toFixed(1)} ms${parts.length > 0 ? ` (${parts.join(", ")})` : ""}`,
  ];
}
