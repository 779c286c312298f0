/** What an embedding program starts a broker with, before anything is done. */
import {
  optionalBoolean,
  optionalFunction,
  optionalNumber,
  optionalObject,
  optionalText,
  optionInvalid,
  requireObject,
  requireText,
  requireTextMap,
} from "../base/check-option.ts";
import { BrokerError } from "../base/errors.ts";
import { givenPath } from "../base/given-path.ts";
import { requireIdentity } from "../model/identity.ts";
import { instanceId, parseInstanceId } from "../model/names.ts";
import { givenEndpoint } from "../model/places.ts";
import type { RegisteredBackend } from "./activation/registered-backend.ts";
import type { CloseReason } from "./events/broker-event.ts";
import type { BrokerOptions, StopOptions } from "./options.ts";

const TEXTS = ["endpoint", "definitionDirectory", "definitionDirectorySource", "logDirectory"] as const;
const PATHS = ["definitionDirectory", "logDirectory", "home"] as const;
const PARTS = ["clock", "transport", "processes", "files", "locks", "host"] as const;

/** @throws BrokerError OPTION_INVALID (`details.check` names the option), NAME_INVALID, ENDPOINT_INVALID, PATH_TOO_LONG */
export function checkBrokerOptions(options: BrokerOptions): void {
  requireObject("options", options);
  requireObject("platform", options.platform);
  for (const part of PARTS) requireObject(`platform.${part}`, options.platform[part]);
  requireTextMap("env", options.env);
  for (const name of TEXTS) requireText(name, options[name]);
  if (options.instance !== undefined) parseInstanceId(instanceId(options.instance));
  if (options.home !== undefined) requireText("home", options.home);
  optionalObject("registered", options.registered);
  if (options.registered !== undefined) checkRegistered(options.registered);
  checkPaths(options);
  checkNumbers(options);
  checkLaunch(options.launch);
  optionalFunction("successor", options.successor);
  optionalFunction("onEvent", options.onEvent);
}

const CLOSE_REASONS: readonly CloseReason[] = [
  "requested",
  "signal",
  "max-connections",
  "lost-endpoint",
  "idle",
  "replaced",
];

/** @throws BrokerError OPTION_INVALID */
export function checkStopOptions(options: StopOptions): void {
  requireObject("options", options);
  const { reason, withBackends, drainMs } = options;
  if (!CLOSE_REASONS.includes(reason)) throw optionInvalid("reason", reason, `one of ${CLOSE_REASONS.join(", ")}`);
  optionalBoolean("withBackends", withBackends);
  optionalNumber("drainMs", drainMs, { least: 0 }, "a number of milliseconds, 0 or more");
}

/** @throws BrokerError OPTION_INVALID */
export function checkRestartOptions(options: { readonly timeoutMs?: number | undefined }): void {
  requireObject("options", options);
  optionalNumber("timeoutMs", options.timeoutMs, { above: 0 }, "a number of milliseconds greater than 0");
}

function checkRegistered(registered: RegisteredBackend): void {
  for (const name of ["service", "version", "endpoint"] as const) requireText(`registered.${name}`, registered[name]);
  optionalText("registered.handoffEndpoint", registered.handoffEndpoint);
  if (registered.expected !== undefined) requireIdentity("registered.expected", registered.expected);
}

/** Another process or the kernel would take some of them for another path. */
function checkPaths(options: BrokerOptions): void {
  for (const name of PATHS) givenPath(options[name] ?? "", name);
  const { os } = options.platform.host;
  givenEndpoint(os, options.endpoint, "option endpoint");
  if (options.registered === undefined) return;
  const { endpoint, handoffEndpoint } = options.registered;
  // In the reference's words (spec: server §3.1).
  if (endpoint === "") throw new BrokerError("OPTION_INVALID", "backend endpoint must not be empty");
  givenEndpoint(os, endpoint, "option registered.endpoint");
  if (handoffEndpoint !== undefined) givenEndpoint(os, handoffEndpoint, "option registered.handoffEndpoint");
}

function checkLaunch(launch: unknown): void {
  if (launch === undefined) return;
  if (!Array.isArray(launch)) throw optionInvalid("launch", launch, "an array of { service, version }");
  for (const [index, wanted] of launch.entries()) {
    requireObject(`launch[${index}]`, wanted);
    for (const name of ["service", "version"] as const) requireText(`launch[${index}].${name}`, wanted[name]);
  }
}

function checkNumbers({ maxConnections, idleExitMs, hellosPerSecond, predecessorFd }: BrokerOptions): void {
  optionalNumber("maxConnections", maxConnections, { least: 1, whole: true }, "a whole number greater than zero");
  optionalNumber("idleExitMs", idleExitMs, { least: 0 }, "a number of milliseconds, 0 or more");
  optionalNumber("hellosPerSecond", hellosPerSecond, { least: 0 }, "a number, 0 for no limit");
  optionalNumber("predecessorFd", predecessorFd, { least: 0, whole: true }, "a descriptor");
}
