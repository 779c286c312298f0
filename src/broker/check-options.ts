/** What an embedding program starts a broker with, before anything is done. */
import {
  optionalFunction,
  optionalNumber,
  optionalObject,
  optionInvalid,
  requireObject,
  requireText,
} from "../base/check-option.ts";
import type { BrokerOptions } from "./options.ts";

const TEXTS = ["endpoint", "definitionDirectory", "definitionDirectorySource", "logDirectory"] as const;
const PARTS = ["clock", "transport", "processes", "files", "locks", "host"] as const;

/** @throws BrokerError OPTION_INVALID (`details.check` names the option) */
export function checkBrokerOptions(options: BrokerOptions): void {
  requireObject("options", options);
  requireObject("platform", options.platform);
  for (const part of PARTS) requireObject(`platform.${part}`, options.platform[part]);
  requireObject("env", options.env);
  for (const name of TEXTS) requireText(name, options[name]);
  optionalObject("instance", options.instance);
  if (options.home !== undefined) requireText("home", options.home);
  optionalObject("registered", options.registered);
  if (options.registered !== undefined)
    for (const name of ["service", "version", "endpoint"] as const)
      requireText(`registered.${name}`, options.registered[name]);
  checkNumbers(options);
  if (options.launch !== undefined && !Array.isArray(options.launch))
    throw optionInvalid("launch", options.launch, "an array of { service, version }");
  optionalFunction("successor", options.successor);
  optionalFunction("onEvent", options.onEvent);
}

function checkNumbers({ maxConnections, idleExitMs, hellosPerSecond, predecessorFd }: BrokerOptions): void {
  optionalNumber("maxConnections", maxConnections, { least: 1, whole: true }, "a whole number greater than zero");
  optionalNumber("idleExitMs", idleExitMs, { least: 0 }, "a number of milliseconds, 0 or more");
  optionalNumber("hellosPerSecond", hellosPerSecond, { least: 0 }, "a number, 0 for no limit");
  optionalNumber("predecessorFd", predecessorFd, { least: 0, whole: true }, "a descriptor");
}
