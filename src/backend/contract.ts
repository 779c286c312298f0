/**
 * The fast-bind contract (spec: backend-sdk §5): a backend binds first, with nothing but its address in hand, and loads
 * its state afterwards. Clients queue in the listener's backlog from the first milliseconds on, however long loading
 * takes. The interface makes the order a matter of types: `bind` and `adopt` get no state and no `this`, and the state
 * does not exist until `load` is called, after the lock file has been written.
 *
 *   adopt, or bind  ->  lock file  ->  load started  ->  serve
 */
import type { Env, Listener } from "../platform/ports/index.ts";
import { type ClaimPorts, claimEndpoint } from "./claim-endpoint.ts";
import type { BackendAddress } from "./launch-environment.ts";

/** `L`: what the backend listens with. `S`: its state. `R`: what serving comes to. */
export interface BrokeredBackend<L, S, R = void> {
  /** Binds and listens: microseconds, no disk, no state. What it throws ends the launch; `serve` is not called then. */
  bind(this: void, address: BackendAddress): L;
  /** Takes over a listener that the broker has bound and on which clients may be waiting already. Consumes it. */
  adopt(this: void, listener: Listener): L;
  /** Closes what `bind` or `adopt` returned, when its lock file turns out to be held by another process. */
  discard(this: void, listener: L): void;
  /** Everything slow. Starts once the endpoint is held. */
  load(this: void): S | Promise<S>;
  /**
   * Accepts and serves until the backend is to end. Called at once, while `state` is still on its way, so that what
   * needs none (identity probes) is answered meanwhile. Consumes the listener.
   */
  serve(this: void, listener: L, state: Promise<S>, address: BackendAddress): R | Promise<R>;
}

export interface BootstrapOptions {
  /** Socket path to use when no broker has given one. Default: none, LAUNCHED_WITHOUT_ENDPOINT then. */
  readonly endpoint?: string;
  /** Labels in the lock file when no broker has given any. */
  readonly service?: string;
  readonly version?: string;
}

export interface BootstrapEnvironment {
  readonly platform: ClaimPorts;
  /** The launch's own variables, already taken out of the process environment. */
  readonly launchEnv: Env;
}

/**
 * Runs a backend by the contract. Resolves with what `serve` came to; the socket file (if we bound it) and the lock
 * file are gone then.
 *
 * @throws BrokerError LAUNCHED_WITHOUT_ENDPOINT, LISTENER_INVALID, ENDPOINT_IN_USE, and what `bind` and `serve` throw
 */
export async function bootstrap<L, S, R>(
  backend: BrokeredBackend<L, S, R>,
  options: BootstrapOptions,
  environment: BootstrapEnvironment,
): Promise<R> {
  const { bind, adopt, discard, load, serve } = backend;
  const claim = await claimEndpoint({ ...options, ...environment, bind, adopt, discard });
  try {
    return await serve(claim.listener, startLoading(load), claim.address);
  } finally {
    claim.release();
  }
}

/** The state as a promise that may also fail while nobody is looking at it yet. */
export function startLoading<S>(load: () => S | Promise<S>): Promise<S> {
  const state = new Promise<S>((resolve) => resolve(load()));
  state.catch(() => {});
  return state;
}
