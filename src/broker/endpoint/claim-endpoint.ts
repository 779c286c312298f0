/**
 * Being the only broker at an address. The lock file beside the socket is held for life; only its holder may remove a
 * socket file that nobody listens on, and only when it is a socket of ours (spec: launch §12, recommendation). A broker
 * of another make takes no lock, so a socket that is bound is left alone even by the holder.
 */
import { acquireAsync, runAll } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode } from "../../base/errors.ts";
import { findListener } from "../../exchange/find-listener.ts";
import type { FileIdentity } from "../../model/file-identity.ts";
import { nameLink } from "../../model/places.ts";
import type { FileLock, Listener, Platform } from "../../platform/ports/index.ts";
import { takePrivateLock } from "../../store/private-lock.ts";

export type ClaimPorts = Pick<
  Platform,
  "clock" | "endpoints" | "files" | "host" | "locks" | "processes" | "transport" | "user"
>;

export interface EndpointClaim {
  readonly path: string;
  readonly listener: Listener;
  /** One whose file a cleaner has removed is taken anew by `refreshLock`. */
  readonly lock: FileLock;
  /** The socket file that was bound; undefined when it was gone at once. */
  readonly bound: FileIdentity | undefined;
  /** Is the socket file at the path still the one that was bound? @throws BrokerError IO_FAILED when it cannot be known */
  isCurrent(): boolean;
  /** Makes the link with the broker's name again, should it be gone. Never throws. */
  keepName(): void;
  /**
   * Removes the socket file when it is still ours, stops listening, and lets the next broker in. Never throws: a socket file
   * that cannot be removed is one on which no process listens, which the next broker removes.
   */
  release(): void;
  /** False when somebody else has the lock meanwhile. @throws BrokerError FILE_INSECURE, IO_FAILED */
  refreshLock(): boolean;
  /** Closes our descriptors only: another process has taken over. Never throws. */
  letGo(): void;
}

/** Where a broker listens. */
export interface BrokerAddress {
  readonly path: string;
  /** The bare name that the path was made of; undefined for any other path. */
  readonly bareName: string | undefined;
}

/**
 * The path must have passed `givenEndpoint`.
 *
 * @throws BrokerError BROKER_ALREADY_RUNNING, DIRECTORY_INSECURE, FILE_INSECURE (what is at the path is not a socket of
 * ours), IO_FAILED
 */
export async function claimEndpoint(platform: ClaimPorts, address: BrokerAddress): Promise<EndpointClaim> {
  const { path } = address;
  return acquireAsync(async (held) => {
    platform.files.ensurePrivateDirectory(platform.files.paths.dirname(path));
    const lock = takePrivateLock(platform, `${path}.lock`);
    if (lock === undefined) throw alreadyRunning(path);
    held.defer(() => lock.release());
    lock.describe(`${platform.processes.selfPid}\n`);
    await removeStaleSocket(platform, path);
    const link = linkOf(address);
    if (link !== undefined) {
      platform.files.symlink(link.target, link.path);
      held.defer(() => platform.files.remove(link.path));
    }
    const listener = held.use(listen(platform, path));
    // Ours by the lock, whatever file it is.
    held.defer(() => platform.endpoints.remove(path));
    return createClaim(platform, address, { lock, listener, bound: platform.endpoints.find(path) });
  });
}

function listen(platform: ClaimPorts, path: string): Listener {
  try {
    return platform.transport.listen(path);
  } catch (error) {
    throw hasCode(error, "IO_FAILED") && error.details.errno === "EADDRINUSE" ? alreadyRunning(path) : error;
  }
}

/** An address that another broker claimed and gives up in our favour. Consumes listener and lock. Never throws. */
export function inheritEndpoint(
  platform: ClaimPorts,
  address: BrokerAddress,
  inherited: { readonly listener: Listener; readonly lock: FileLock; readonly bound: FileIdentity },
): EndpointClaim {
  inherited.lock.describe(`${platform.processes.selfPid}\n`);
  return createClaim(platform, address, inherited);
}

async function removeStaleSocket(platform: ClaimPorts, path: string): Promise<void> {
  const facts = platform.endpoints.find(path);
  if (facts === undefined) return;
  if (facts.kind !== "socket" || !platform.user.owns(facts)) {
    throw new BrokerError(
      "FILE_INSECURE",
      `cannot listen on ${path}: there is a ${facts.kind} of ${platform.user.ownerText(facts)}, not a socket of ours`,
      { details: { path } },
    );
  }
  const holder = await findListener(platform, path);
  if (holder === "none") platform.endpoints.remove(path);
  else throw holder === "broker" ? alreadyRunning(path) : occupied(path);
}

function createClaim(
  platform: ClaimPorts,
  address: BrokerAddress,
  held: Pick<EndpointClaim, "lock" | "listener" | "bound">,
): EndpointClaim {
  const { path } = address;
  const link = linkOf(address);
  const { listener, bound } = held;
  let { lock } = held;
  const isCurrent = (): boolean => platform.endpoints.isSame(path, bound);
  return {
    path,
    listener,
    bound,
    get lock() {
      return lock;
    },
    isCurrent,
    keepName() {
      try {
        if (link !== undefined) platform.files.symlink(link.target, link.path);
      } catch {
        // Only listings miss it; a client that knows the name finds the socket.
      }
    },
    refreshLock() {
      if (lock.isCurrent()) return true;
      const anew = platform.locks.tryAcquire(`${path}.lock`);
      if (anew === undefined) return false;
      lock.abandon();
      lock = anew;
      lock.describe(`${platform.processes.selfPid}\n`);
      return true;
    },
    release() {
      // The file goes first: whoever connects from now on finds nothing instead of a listener about to vanish.
      runAll([
        () => isCurrent() && platform.endpoints.remove(path),
        () => link !== undefined && lock.isCurrent() && platform.files.remove(link.path),
        () => listener.close(),
        () => lock.release(),
      ]);
    },
    letGo() {
      runAll([() => listener.close(), () => lock.abandon()]);
    },
  };
}

function linkOf({ path, bareName }: BrokerAddress): ReturnType<typeof nameLink> {
  return bareName === undefined ? undefined : nameLink(path, bareName);
}

function occupied(path: string): BrokerError {
  return new BrokerError(
    "BROKER_ALREADY_RUNNING",
    `another broker is running at ${path}, or a program that does not answer as one: end it, or choose another address`,
    { details: { path, check: "healthz" } },
  );
}

function alreadyRunning(path: string): BrokerError {
  return new BrokerError("BROKER_ALREADY_RUNNING", `another broker is running at ${path}`, { details: { path } });
}
