/** What an author serves a backend with, before anything is done. */
import {
  optionalBoolean,
  optionalFunction,
  optionalNumber,
  optionalText,
  requireFunction,
  requireObject,
} from "../base/check-option.ts";
import { givenPath } from "../base/given-path.ts";
import type { BootstrapOptions, BrokeredBackend } from "./contract.ts";
import type { ServeOptions } from "./serve-options.ts";

const BOOTSTRAP_TEXTS = ["endpoint", "service", "version"] as const;
const TEXTS = [...BOOTSTRAP_TEXTS, "handoffEndpoint", "sidecarPath"] as const;
const FLAGS = ["countConnections", "handleSignals"] as const;
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
  for (const name of FLAGS) optionalBoolean(name, options[name]);
  if (options.sidecarPath !== undefined) givenPath(options.sidecarPath, "sidecarPath");
  optionalNumber("stopTimeoutMs", stopTimeoutMs, { least: 0 }, "a number of milliseconds, 0 or more");
  optionalNumber("maxInFlightPerConnection", maxInFlightPerConnection, { least: 1 }, "a number, 1 or more");
}

/** @throws BrokerError OPTION_INVALID (`details.check` names the function that is missing, or the option) */
export function checkBootstrap<L, S, R>(backend: BrokeredBackend<L, S, R>, options: BootstrapOptions): void {
  requireObject("backend", backend);
  for (const name of CONTRACT) requireFunction(name, backend[name]);
  requireObject("options", options);
  for (const name of BOOTSTRAP_TEXTS) optionalText(name, options[name]);
}
