/** What a caller says and what it gets. Checked here before anything is loaded, dialled or started. */
import type { Socket } from "node:net";
import { isAbsolute } from "node:path";
import {
  hasMethods,
  optionalBoolean,
  optionalFunction,
  optionalNumber,
  optionalObject,
  optionalSignal,
  optionalText,
  optionalTextMap,
  optionInvalid,
  requireObject,
  requireText,
  requireTexts,
} from "../base/check-option.ts";
import type { BrokerError } from "../base/errors.ts";
import { givenPath } from "../base/given-path.ts";
import { type BackendIdentity, requireIdentity } from "../model/identity.ts";
import { checkName, checkVersion } from "../model/names.ts";
import type { Env } from "../platform/ports/index.ts";
import { MAX_CLIENT_LIB_BYTES, MAX_CLIENT_VERSION_BYTES, MAX_WANTED_VERSION_BYTES } from "../wire/limits.ts";
import { checkRequestOptions, type FirstRequest, OF_FIRST_REQUEST } from "./request-options.ts";

/** Time for a whole call when the caller sets none. Milliseconds. */
export const DEFAULT_TIMEOUT_MS = 30_000;

export interface ConnectOptions {
  /** Name of the service: 1 to 64 of a-z, 0-9 and '-'. */
  readonly service: string;
  /** Exactly this version: MAJOR.MINOR.PATCH with an optional -prerelease of a-z, 0-9 and '.'. */
  readonly version: string;
  /** Default: the broker of the instance that the service's definition names, started when it does not run. */
  readonly broker?: BrokerOptions;
  /** The caller's own version. The cached endpoint is used only when it equals `version`. Default: `version`. */
  readonly selfVersion?: string;
  /** `endpoint` of an earlier result, tried before any broker. Default: the endpoint of `verifyCached`, else none. */
  readonly cachedEndpoint?: string;
  /** Who must be at the cached endpoint; it is probed and compared with the kernel's view first. Default: only its uid counts. */
  readonly verifyCached?: BackendIdentity;
  /** Informational, at most 128 bytes. Default: empty. */
  readonly clientVersion?: string;
  /** Name and version of the library that connects, for telemetry; at most 64 bytes each. Default: ours. */
  readonly libName?: string;
  readonly libVersion?: string;
  /** Proposed keepalive in seconds. Default 0: the broker's (1800). */
  readonly keepaliveSecs?: number;
  /** W3C trace context; a launched backend finds it in its environment. Default: none. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /**
   * Total milliseconds for everything up to the connected socket: cached endpoint, start of a broker, launch of the
   * backend, all retries. The caller's `fallback` is not part of it. Default 30 000. Sane: 100 to 120 000.
   */
  readonly timeoutMs?: number;
  /**
   * Take the broker's connection over when the broker hands it to the backend, instead of making a second one.
   * Sessions do by default: the first frame of the backend settles the matter. `connect` does not, because a raw socket
   * has to wait for the broker's word, which takes longer than connecting.
   */
  readonly adopt?: boolean;
  /** Ends the call with ABORTED. */
  readonly signal?: AbortSignal;
  /** Environment to read settings from and to start a broker with. Default: this process's. */
  readonly env?: Env;
  /** Directory of service definitions, absolute. Default: RUNNING_PROCESS_SERVICE_DEF_DIR, else the user's. */
  readonly definitionDirectory?: string;
  /**
   * The caller's own way to a backend, used when the broker is turned off or cannot help, whatever the reason (`error`
   * says it). Not used when the caller aborted or RUNNING_PROCESS_DISABLE is malformed. What it throws is passed on;
   * OPTION_INVALID when it yields no socket.
   */
  readonly fallback?: (error: BrokerError) => Promise<Socket>;
}

export interface BrokerOptions {
  /** Socket path. Default: RUNNING_PROCESS_BROKER_V1_SOCKET, else that of the instance the service's definition names. */
  readonly endpoint?: string;
  /** Start a broker when none listens. Default true; RUNNING_PROCESS_BROKER_AUTOSTART=0 turns it off as well. */
  readonly autoStart?: boolean;
  /** The program that is given `serve --socket …`. Default: this package's `rpb` under the running Node. */
  readonly startCommand?: StartCommand;
}

export interface StartCommand {
  /** Absolute path, or a name to be found in PATH. */
  readonly file: string;
  /** Placed before `serve`. */
  readonly args: readonly string[];
}

/** Milliseconds, from the last attempt where a step ran more than once. */
export interface Timings {
  readonly totalMs: number;
  /** Connecting to the broker, starting it included. */
  readonly brokerMs?: number;
  /** From the Hello to its reply: includes the launch of a backend. */
  readonly helloMs?: number;
  /** Connecting to the backend. */
  readonly dialMs?: number;
}

/** What the broker answered. */
export interface NegotiatedFacts {
  readonly protocol: number;
  readonly daemonVersion: string;
  readonly warnings: readonly string[];
  readonly serverCapabilities: bigint;
  readonly keepaliveSecs: number;
  /** Unique for the broker's life; logs and events name it. */
  readonly connectionId: bigint;
}

interface SomeRoute {
  readonly timings: Timings;
}

/** The cached endpoint took the connection; no broker was asked. */
export interface SkipRoute extends SomeRoute {
  readonly route: "skip";
  readonly endpoint: string;
  /** The backend proved its identity (`verifyCached`). */
  readonly verified: boolean;
}

/** The broker named the endpoint. */
export interface NegotiatedRoute extends SomeRoute {
  readonly route: "negotiated";
  /** To be given as `cachedEndpoint` next time. */
  readonly endpoint: string;
  readonly negotiated: NegotiatedFacts;
  /** Hellos it took. */
  readonly attempts: number;
  /** This call started the broker. */
  readonly startedBroker: boolean;
  /** Why the cached endpoint was not used, when there was one. */
  readonly cachedError?: BrokerError;
}

/** The connection on which the broker was asked is the backend's now. */
export interface HandedOffRoute extends Omit<NegotiatedRoute, "route"> {
  readonly route: "handed-off";
  /** True: nothing has been heard of the backend yet when the call returns. */
  readonly direct: boolean;
}

/** The caller's own path. */
export interface FallbackRoute extends SomeRoute {
  readonly route: "fallback";
  /** Why the broker path was not taken: to be shown to somebody. */
  readonly fallbackReason: BrokerError;
}

export type Route = SkipRoute | NegotiatedRoute | HandedOffRoute | FallbackRoute;

/** A connected socket nobody has read from, and how it was reached. The socket is the caller's. */
export type Connected = Route & { readonly socket: Socket };

/** @throws BrokerError OPTION_INVALID (`details.check` names the option), NAME_INVALID, VERSION_INVALID */
export function checkConnectOptions(options: ConnectOptions): void {
  requireObject("options", options);
  requireText("service", options.service);
  checkName("service name", options.service);
  requireText("version", options.version, MAX_WANTED_VERSION_BYTES);
  checkVersion("wanted version", options.version);
  for (const name of ["selfVersion", "cachedEndpoint", "traceparent", "tracestate", "definitionDirectory"] as const)
    optionalText(name, options[name]);
  optionalText("clientVersion", options.clientVersion, MAX_CLIENT_VERSION_BYTES);
  optionalText("libName", options.libName, MAX_CLIENT_LIB_BYTES);
  optionalText("libVersion", options.libVersion, MAX_CLIENT_LIB_BYTES);
  checkBroker(options.broker);
  optionalTextMap("env", options.env);
  optionalBoolean("adopt", options.adopt);
  optionalSignal("signal", options.signal);
  optionalFunction("fallback", options.fallback);
  checkDirectory(options);
  checkNumbers(options);
  checkCached(options);
}

function checkBroker(broker: BrokerOptions | undefined): void {
  optionalObject("broker", broker);
  optionalText("broker.endpoint", broker?.endpoint);
  optionalBoolean("broker.autoStart", broker?.autoStart);
  optionalObject("broker.startCommand", broker?.startCommand);
  if (broker?.startCommand === undefined) return;
  const { file, args } = broker.startCommand;
  requireText("broker.startCommand.file", file);
  requireTexts("broker.startCommand.args", args);
}

/** What a session has on top. @throws BrokerError PAYLOAD_PROTOCOL_INVALID, OPTION_INVALID (`details.check` names the option) */
export function checkSessionOptions(options: { readonly onEvent?: unknown; readonly firstRequest?: unknown }): void {
  requireObject("options", options);
  optionalFunction("onEvent", options.onEvent);
  optionalObject("firstRequest", options.firstRequest);
  if (options.firstRequest === undefined) return;
  const first = options.firstRequest as FirstRequest;
  checkRequestOptions(first.protocol, first.payload, first, OF_FIRST_REQUEST);
}

/** What the caller's own path came to. @throws BrokerError OPTION_INVALID */
export function checkFallbackSocket(socket: unknown): void {
  if (!hasMethods(socket, "on", "once", "write", "destroy", "ref", "unref"))
    throw optionInvalid("fallback", socket, "a function that resolves to a connected net.Socket");
}

/** A broker that is started with it has another working directory. */
function checkDirectory({ definitionDirectory }: ConnectOptions): void {
  if (definitionDirectory === undefined) return;
  if (!isAbsolute(definitionDirectory))
    throw optionInvalid("definitionDirectory", definitionDirectory, "an absolute path");
  givenPath(definitionDirectory, "definitionDirectory");
}

/** The longest delay of a timer. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

function checkNumbers({ keepaliveSecs, timeoutMs }: ConnectOptions): void {
  optionalNumber("keepaliveSecs", keepaliveSecs, { least: 0, whole: true }, "a whole number of seconds, 0 or more");
  const rule = { above: 0, most: MAX_TIMEOUT_MS };
  optionalNumber("timeoutMs", timeoutMs, rule, `a number of milliseconds above 0, at most ${MAX_TIMEOUT_MS}`);
}

function checkCached({ cachedEndpoint, verifyCached }: ConnectOptions): void {
  if (verifyCached !== undefined) requireIdentity("verifyCached", verifyCached);
  if (cachedEndpoint === undefined || verifyCached === undefined || verifyCached.endpoint.path === cachedEndpoint)
    return;
  throw optionInvalid("cachedEndpoint", cachedEndpoint, `the endpoint of verifyCached, ${verifyCached.endpoint.path}`);
}
