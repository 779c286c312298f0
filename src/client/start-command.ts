/** How a broker is started on behalf of a client: program, arguments, environment, log. Pure but for this file's own place. */
import { posix } from "node:path";
import { instanceId } from "../model/names.ts";
import { hash16, logDirectory, type PlaceInputs } from "../model/places.ts";
import type { Env } from "../platform/ports.ts";
import type { BrokerChoice } from "./choose-broker.ts";
import type { ConnectOptions, StartCommand } from "./options.ts";

export interface BrokerStart {
  readonly endpoint: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logPath: string;
}

/** What the client starts when no broker listens at `choice`. `nodePath` is the running Node's executable. */
export function planBrokerStart(
  choice: BrokerChoice,
  options: ConnectOptions,
  at: { places: PlaceInputs; nodePath: string },
): BrokerStart {
  const command: StartCommand = options.broker?.startCommand ?? {
    file: at.nodePath,
    args: [ownBrokerScript(import.meta.url)],
  };
  const instance = choice.instance === undefined ? [] : ["--instance", instanceId(choice.instance)];
  const definitions =
    options.definitionDirectory === undefined ? [] : ["--service-def-dir", options.definitionDirectory];
  return {
    endpoint: choice.endpoint,
    file: command.file,
    args: [...command.args, "serve", "--socket", choice.endpoint, ...instance, ...definitions],
    env: brokerEnvironment(at.places.env),
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

/** The package's command line. Run from the sources, it is the built one: a broker is started by plain Node. */
function ownBrokerScript(self: string): string {
  return decodeURIComponent(new URL(self.endsWith(".ts") ? "../../dist/cli/rpb.js" : "../cli/rpb.js", self).pathname);
}

/** Of one launch of this very process: descriptors and names that mean nothing, or the wrong thing, in a broker. */
const LAUNCH_PREFIX = "RUNNING_PROCESS_BROKER_V1_";
const NOT_INHERITED: ReadonlySet<string> = new Set([
  "RUNNING_PROCESS_BROKER_LISTENER_FD",
  "RUNNING_PROCESS_BROKER_CONTROL_FD",
  "LISTEN_FDS",
  "LISTEN_PID",
  "LISTEN_FDNAMES",
  "NODE_CHANNEL_FD",
  "NODE_CHANNEL_SERIALIZATION_MODE",
  "NODE_UNIQUE_ID",
  // Meant for the caller's own Node: a debugger's port that is taken, a relative --require that "/" does not have.
  "NODE_OPTIONS",
]);

function brokerEnvironment(env: Env): Record<string, string> {
  const kept = Object.entries(env).filter(([name]) => !name.startsWith(LAUNCH_PREFIX) && !NOT_INHERITED.has(name));
  return Object.fromEntries(kept.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
