/**
 * `running-process-broker/backend`: what a daemon needs to be found, proved and reached.
 *
 *   import { serve } from "running-process-broker/backend";
 *   await serve({ protocol: 0xf001, handle: ({ payload }) => format(payload) });
 */
import { coded } from "../base/system-error.ts";
import {
  closeEarlyDebugger,
  ignoreDebugSignal,
  loadPlatform,
  onTerminationSignal,
  printError,
  processEnv,
  takeLaunchEnvironment,
  tolerateOutputErrors,
} from "../platform/platform.ts";
import { checkBootstrap, checkServeOptions } from "./check-options.ts";
import { type BootstrapOptions, type BrokeredBackend, bootstrap as bootstrapWith } from "./contract.ts";
import { isLaunched } from "./launch-environment.ts";
import { serveBackend } from "./serve-backend.ts";
import type { RunningBackend, ServeOptions } from "./serve-options.ts";

// A process that a broker launched is a daemon before it says so: what it loads until then may take its time.
if (isLaunched(processEnv())) {
  ignoreDebugSignal();
  closeEarlyDebugger();
}

/**
 * Serves this process as a backend: `serveBackend` with the real platform and this launch's environment. Faults are
 * written to stderr, which the broker keeps as the backend's log, unless `onError` takes them. A closed or full stderr
 * does not end the process. SIGUSR1 opens no debugger from now on (in a process that a broker launched: from the import of
 * this entry on); listeners of the program's own run as ever, and `inspector.open()` in one of them opens it.
 *
 * @throws BrokerError as `serveBackend`; PLATFORM_UNSUPPORTED
 */
export async function serve<S>(options: ServeOptions<S>): Promise<RunningBackend> {
  return coded(async () => {
    checkServeOptions(options);
    ignoreDebugSignal();
    tolerateOutputErrors();
    const launchEnv = takeLaunchEnvironment();
    const platform = await loadPlatform();
    return serveBackend({ onError: printError, ...options }, { platform, launchEnv, onTerminationSignal });
  });
}

/**
 * Runs a backend with a server of its own by the fast-bind contract, in this launch's environment.
 *
 * @throws BrokerError OPTION_INVALID, LAUNCHED_WITHOUT_ENDPOINT, LISTENER_INVALID, ENDPOINT_IN_USE, PLATFORM_UNSUPPORTED, and what the
 * backend's own `bind` and `serve` throw
 */
export async function bootstrap<L, S, R>(
  backend: BrokeredBackend<L, S, R>,
  options: BootstrapOptions = {},
): Promise<R> {
  checkBootstrap(backend, options);
  ignoreDebugSignal();
  const launchEnv = takeLaunchEnvironment();
  return bootstrapWith(backend, options, { platform: await coded(loadPlatform), launchEnv });
}

export type { BrokerErrorCode } from "../base/errors.ts";
// For users.
export { hasCode, isBrokerError } from "../base/errors.ts";
export type { BackendEndpoint, BackendIdentity } from "../model/identity.ts";
export { decodeIdentitySidecar, encodeIdentitySidecar, tryDecodeIdentitySidecar } from "../model/identity-sidecar.ts";
export type { LegacyDetector } from "./classify.ts";
export type { BootstrapOptions, BrokeredBackend } from "./contract.ts";
export type { ControlHooks, QuiesceRequest, ReleaseHandlesRequest } from "./control-hooks.ts";
export type { BackendAddress } from "./launch-environment.ts";
export type { ConsumerFrame, EndpointMux, MuxOptions, MuxOutcome } from "./mux.ts";
// For daemons with an event loop of their own.
export { createEndpointMux } from "./mux.ts";
// For other libraries of this package; not covered by semantic versioning.
export { serveBackend } from "./serve-backend.ts";
export type {
  BackendCloseReason,
  BackendHandler,
  BackendRequest,
  LegacyWire,
  RunningBackend,
  ServeEnvironment,
  ServeOptions,
} from "./serve-options.ts";
