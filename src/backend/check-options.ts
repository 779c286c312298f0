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
import { checkServedProtocols } from "../wire/payload-protocol.ts";
import type { BootstrapOptions, BrokeredBackend } from "./contract.ts";
import type { BackendHandler, ServeOptions } from "./serve-options.ts";

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

/** The handler of each protocol that is served. @throws BrokerError PAYLOAD_PROTOCOL_INVALID */
export function handlersOf<S>(options: ServeOptions<S>): ReadonlyMap<number, BackendHandler<S>> {
  const handlers = new Map<number, BackendHandler<S>>();
  if (options.handle !== undefined) handlers.set(options.protocol, options.handle);
  for (const [protocol, handle] of Object.entries(options.protocols ?? {})) handlers.set(Number(protocol), handle);
  checkServedProtocols([...handlers.keys()]);
  return handlers;
}

/** @throws BrokerError OPTION_INVALID (`details.check` names the function that is missing, or the option) */
export function checkBootstrap<L, S, R>(backend: BrokeredBackend<L, S, R>, options: BootstrapOptions): void {
  requireObject("backend", backend);
  for (const name of CONTRACT) requireFunction(name, backend[name]);
  requireObject("options", options);
  for (const name of BOOTSTRAP_TEXTS) optionalText(name, options[name]);
}
