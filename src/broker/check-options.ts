/** What an embedding program starts a broker with, before anything is done. */
import { optionalFunction, optionalObject, optionInvalid, requireObject, requireText } from "../base/check-option.ts";
import { BrokerError } from "../base/errors.ts";
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
  if (maxConnections !== undefined && !(Number.isInteger(maxConnections) && maxConnections > 0))
    throw new BrokerError("OPTION_INVALID", "max_connections must be greater than zero", {
      details: { check: "maxConnections" },
    });
  if (idleExitMs !== undefined && !(typeof idleExitMs === "number" && idleExitMs >= 0))
    throw optionInvalid("idleExitMs", idleExitMs, "a number of milliseconds, 0 or more");
  if (hellosPerSecond !== undefined && !(typeof hellosPerSecond === "number" && hellosPerSecond >= 0))
    throw optionInvalid("hellosPerSecond", hellosPerSecond, "a number, 0 for no limit");
  if (predecessorFd !== undefined && !(Number.isInteger(predecessorFd) && predecessorFd >= 0))
    throw optionInvalid("predecessorFd", predecessorFd, "a descriptor");
}
