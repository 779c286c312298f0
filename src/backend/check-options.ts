/** What an author serves a backend with, before anything is done. */
import {
  optionalFunction,
  optionalNumber,
  optionalText,
  requireFunction,
  requireObject,
} from "../base/check-option.ts";
import type { BrokeredBackend } from "./contract.ts";
import type { ServeOptions } from "./serve-options.ts";

const TEXTS = ["endpoint", "service", "version", "handoffEndpoint", "sidecarPath"] as const;
const CALLBACKS = ["load", "onStop", "onError", "onQuiesce", "onReleaseHandles"] as const;
const CONTRACT = ["bind", "adopt", "discard", "load", "serve"] as const;

/** @throws BrokerError OPTION_INVALID (`details.check` names the option) */
export function checkServeOptions<S>(options: ServeOptions<S>): void {
  requireObject("options", options);
  const { protocol, protocols, handle, legacy, stopTimeoutMs, maxInFlightPerConnection } = options;
  if (protocol !== undefined || handle !== undefined) requireFunction("handle", handle);
  if (protocols !== undefined) {
    requireObject("protocols", protocols);
    for (const [number, handler] of Object.entries(protocols)) requireFunction(`protocols[${number}]`, handler);
  }
  if (legacy !== undefined) {
    requireObject("legacy", legacy);
    requireFunction("legacy.onSocket", legacy.onSocket);
    optionalFunction("legacy.detect", legacy.detect);
  }
  for (const name of TEXTS) optionalText(name, options[name]);
  for (const name of CALLBACKS) optionalFunction(name, options[name]);
  optionalNumber("stopTimeoutMs", stopTimeoutMs, { least: 0 }, "a number of milliseconds, 0 or more");
  optionalNumber("maxInFlightPerConnection", maxInFlightPerConnection, { least: 1 }, "a number, 1 or more");
}

/** @throws BrokerError OPTION_INVALID (`details.check` names the function that is missing) */
export function checkBrokeredBackend<L, S, R>(backend: BrokeredBackend<L, S, R>): void {
  requireObject("backend", backend);
  for (const name of CONTRACT) requireFunction(name, backend[name]);
}
