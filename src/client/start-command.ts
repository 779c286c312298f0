/** How a broker is started on behalf of a client: program, arguments, environment, log. Pure but for this file's own place. */
import { posix } from "node:path";
import { brokerEnvironment, inheritableEnvironment } from "../model/launch-environment.ts";
import { instanceId } from "../model/names.ts";
import { hash16, logDirectory, type PlaceInputs } from "../model/places.ts";
import type { Env } from "../platform/ports/index.ts";
import type { BrokerChoice } from "./choose-broker.ts";
import type { ConnectOptions, StartCommand } from "./options.ts";

export interface BrokerStart {
  readonly endpoint: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logPath: string;
}

/**
 * A broker that a client started ends by itself after this long without connections and backends: starting the next one
 * costs a quarter of a second.
 */
export const STARTED_BROKER_IDLE_EXIT = "10m";

/** Limit of the log of a broker that a client started, and of its older file. */
export const BROKER_LOG_BYTES = 1024 * 1024;

/**
 * What the client starts when no broker listens at `choice`. `node` says how to run a program of ours; it is asked unless
 * the caller names a program.
 */
export function planBrokerStart(
  choice: BrokerChoice,
  options: ConnectOptions,
  at: { places: PlaceInputs; node: () => StartCommand },
): BrokerStart {
  const command: StartCommand = options.broker?.startCommand ?? ownBroker(at.node());
  const idle = ["--idle-exit", STARTED_BROKER_IDLE_EXIT];
  const instance = choice.instance === undefined ? [] : ["--instance", instanceId(choice.instance)];
  const definitions =
    options.definitionDirectory === undefined ? [] : ["--service-def-dir", options.definitionDirectory];
  // It can start the backend before it is asked to; a launch that is to be part of a trace waits for the Hello that says so.
  const launch = options.traceparent === undefined ? ["--launch", `${options.service}@${options.version}`] : [];
  return {
    endpoint: choice.endpoint,
    file: command.file,
    args: [...command.args, "serve", "--socket", choice.endpoint, ...idle, ...instance, ...definitions, ...launch],
    env: startEnvironment(at.places.env, options.broker?.startCommand === undefined),
    logPath: brokerLogPath(at.places, choice),
  };
}

/**
 * Where a broker started by a client writes what it has to say: `broker-` and its instance (`shared`, `private-SERVICE`,
 * `explicit-NAME`), or, for an endpoint of the caller's choice, the socket's name and a hash of its whole path.
 */
export function brokerLogPath(places: PlaceInputs, choice: BrokerChoice): string {
  const { endpoint, instance } = choice;
  const given = (): string => `${posix.basename(endpoint, ".sock")}-${hash16(endpoint)}`;
  const leaf = instance === undefined ? given() : instanceId(instance).replace(":", "-");
  return posix.join(logDirectory(places), `broker-${leaf}.log`);
}

function ownBroker({ file, args }: StartCommand): StartCommand {
  return { file, args: [...args, ownBrokerScript(import.meta.url)] };
}

/** The package's command line. Run from the sources, it is the built one: a broker is started by plain Node. */
function ownBrokerScript(self: string): string {
  return decodeURIComponent(new URL(self.endsWith(".ts") ? "../../dist/cli/rpb.cjs" : "../cli/rpb.cjs", self).pathname);
}

/**
 * NODE_OPTIONS is meant for the caller's own Node: a debugger's port that is taken, a relative --require that "/" does not
 * have. What only our own broker can do without, a command of the caller's may need.
 */
function startEnvironment(env: Env, ownCommand: boolean): Record<string, string> {
  const { NODE_OPTIONS: _, ...kept } = ownCommand ? brokerEnvironment(env) : inheritableEnvironment(env);
  return kept;
}
