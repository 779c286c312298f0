/**
 * The first step of every backend: hold the endpoint. Order, and nothing in between that could be slow:
 *
 *   1. a listener was passed to us: adopt it; any fault ends the launch, nothing is ever bound a second time
 *   2. otherwise bind
 *   3. take the lock file `<endpoint>.lock` and write into it who holds it
 *
 * Invariant: a live socket file is removed only by the process that bound it, and only while it is still the same file.
 *
 * A socket file left by a crashed backend makes the bind fail. It is removed only once the lock is ours and the kernel
 * knows no socket that is bound to it: then neither a backend of this kind nor any other program listens there. A process
 * that checks this holds the lock for a moment without owning the endpoint, hence the short wait in step 3.
 */
import { Deadline } from "../base/clock.ts";
import { acquire, acquireAsync } from "../base/disposal-stack.ts";
import { BrokerError, hasCode } from "../base/errors.ts";
import type { FileIdentity } from "../model/file-identity.ts";
import { givenEndpoint } from "../model/places.ts";
import type { Endpoints, Env, FileLock, Listener, Platform } from "../platform/ports/index.ts";
import {
  BACKEND_PIPE,
  type BackendAddress,
  backendAddress,
  backendLabels,
  inheritedListenerFd,
} from "./launch-environment.ts";

export type ClaimPorts = Pick<Platform, "clock" | "host" | "transport" | "locks" | "files" | "endpoints" | "processes">;

export interface ClaimOptions<L> {
  readonly platform: ClaimPorts;
  readonly launchEnv: Env;
  /** Address without a broker. */
  readonly endpoint?: string | undefined;
  /** Labels for the lock file; those of the launch environment win. */
  readonly service?: string | undefined;
  readonly version?: string | undefined;
  bind(this: void, address: BackendAddress): L;
  adopt(this: void, listener: Listener): L;
  /** Closes what `bind` or `adopt` returned, when the endpoint cannot be held after all. */
  discard(this: void, listener: L): void;
}

export interface EndpointClaim<L> {
  readonly address: BackendAddress;
  readonly listener: L;
  /** Somebody else bound the endpoint: its socket file is not ours to remove. */
  readonly adopted: boolean;
  /** Removes the socket file, if we bound it, and lets the lock go. May be called again. */
  release(): void;
}

/** Far longer than another process's stale check. */
const LOCK_WAIT_MS = 1000;
/** Lock files hold one line. */
const MAX_LOCK_BYTES = 4096;

/**
 * @throws BrokerError LAUNCHED_WITHOUT_ENDPOINT, ENDPOINT_INVALID, PATH_TOO_LONG, LISTENER_INVALID, ENDPOINT_IN_USE,
 * FILE_INSECURE (the lock file), and whatever `bind` throws
 */
export async function claimEndpoint<L>(options: ClaimOptions<L>): Promise<EndpointClaim<L>> {
  const { platform, launchEnv } = options;
  const address = backendAddress(launchEnv, options.endpoint);
  const source = address.path === options.endpoint ? "option endpoint" : BACKEND_PIPE;
  givenEndpoint(platform.host.os, address.path, source);
  const fd = inheritedListenerFd(launchEnv, platform.processes.selfPid);
  if (fd !== undefined) {
    const listener = options.adopt(platform.transport.adoptListener(platform.processes.inherited(fd)));
    return lockAndHold(options, { address, listener, adopted: true });
  }
  const bound = bindUnlessTaken(options, address);
  return "taken" in bound
    ? bindOverLeftover(options, address, bound.taken)
    : lockAndHold(options, { address, listener: bound.listener, adopted: false });
}

/** Something at the path is an outcome to deal with; every other fault of `bind` is thrown. */
function bindUnlessTaken<L>(
  options: ClaimOptions<L>,
  address: BackendAddress,
): { listener: L } | { taken: BrokerError } {
  try {
    return { listener: options.bind(address) };
  } catch (error) {
    if (hasCode(error, "IO_FAILED") && error.details.errno === "EADDRINUSE") return { taken: error };
    throw error;
  }
}

interface Held<L> {
  readonly address: BackendAddress;
  readonly listener: L;
  readonly adopted: boolean;
}

function bindOverLeftover<L>(options: ClaimOptions<L>, address: BackendAddress, cause: BrokerError): EndpointClaim<L> {
  const { endpoints, locks } = options.platform;
  return acquire((held) => {
    const lock = locks.tryAcquire(lockPath(address));
    if (lock === undefined) throw heldByAnother(options, address);
    held.defer(() => lock.release());
    if (!endpoints.exists(address.path) || options.platform.transport.isBound(address.path)) {
      throw new BrokerError("ENDPOINT_IN_USE", `something else is at ${address.path}`, {
        details: { path: address.path },
        cause,
      });
    }
    endpoints.remove(address.path);
    const listener = options.bind(address);
    held.defer(() => options.discard(listener));
    return hold(options, { address, listener, adopted: false }, lock, endpoints.find(address.path));
  });
}

async function lockAndHold<L>(options: ClaimOptions<L>, held: Held<L>): Promise<EndpointClaim<L>> {
  const { clock, endpoints, locks } = options.platform;
  const { address, listener, adopted } = held;
  return acquireAsync(async (owned) => {
    owned.defer(() => options.discard(listener));
    // Read at once, before anybody can have replaced it: so we know our own file again when it is to be removed.
    const bound = adopted ? undefined : endpoints.find(address.path);
    owned.defer(() => removeOwn(endpoints, address.path, bound));
    try {
      return hold(options, held, await locks.acquire(lockPath(address), Deadline.after(clock, LOCK_WAIT_MS)), bound);
    } catch (error) {
      throw hasCode(error, "DEADLINE_EXCEEDED") ? heldByAnother(options, address) : error;
    }
  });
}

function hold<L>(
  options: ClaimOptions<L>,
  held: Held<L>,
  lock: FileLock,
  bound: FileIdentity | undefined,
): EndpointClaim<L> {
  describe(options, lock);
  let released = false;
  return {
    ...held,
    release() {
      if (released) return;
      released = true;
      removeOwn(options.platform.endpoints, held.address.path, bound);
      lock.release();
    },
  };
}

function removeOwn(endpoints: Endpoints, path: string, bound: FileIdentity | undefined): void {
  if (bound !== undefined && endpoints.isSame(path, bound)) endpoints.remove(path);
}

function lockPath(address: BackendAddress): string {
  return `${address.path}.lock`;
}

function heldByAnother(options: Pick<ClaimOptions<never>, "platform">, address: BackendAddress): BrokerError {
  const path = lockPath(address);
  const holder =
    options.platform.files.read(path, MAX_LOCK_BYTES)?.bytes.toString() || "a process that has not said who it is";
  return new BrokerError("ENDPOINT_IN_USE", `${address.path} is held by ${holder} (lock file ${path})`, {
    details: { path },
  });
}

function describe(options: Omit<ClaimOptions<never>, "bind" | "adopt" | "discard">, lock: FileLock): void {
  const launched = backendLabels(options.launchEnv);
  const holder = {
    pid: options.platform.processes.selfPid,
    service: launched.service ?? options.service ?? null,
    version: launched.version ?? options.version ?? null,
  };
  lock.describe(JSON.stringify(holder));
}
