/**
 * A broker's socket for as long as the broker lives. Tmp cleaners delete the sockets of long-running daemons; whoever
 * finds that out from a client finds it out too late. The directory is watched, and a socket file that is gone or is
 * another one is bound anew.
 *
 * It gives up when the place itself is gone or taken: then nobody can reach this broker any more.
 */
import { sleep } from "../../base/clock.ts";
import { runAll } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode, isPermanent, reasonOf } from "../../base/errors.ts";
import type { Listener } from "../../platform/ports/index.ts";
import { type BrokerAddress, type ClaimPorts, claimEndpoint, type EndpointClaim } from "./claim-endpoint.ts";

export interface EndpointKeeperOptions {
  readonly platform: ClaimPorts;
  readonly endpoint: BrokerAddress;
  /** Accept on it: at start, and again after it was bound anew. */
  readonly onListener: (listener: Listener) => void;
  readonly onRebound: () => void;
  readonly onLost: (reason: string) => void;
}

export interface EndpointKeeper {
  /** Undefined while there is none to accept on: before `open`, while it is suspended or bound anew, in the end. */
  readonly listener: Listener | undefined;
  /** @throws what `claimEndpoint` throws */
  claim(): Promise<void>;
  /** Instead of `claim`: what another broker gave up in our favour. */
  inherit(claim: EndpointClaim): void;
  /** Begins to accept and to watch, also after `suspend`. */
  open(): void;
  /**
   * Neither accepts nor looks; peers wait in the backlog. Undefined while the socket is bound anew, or when somebody else
   * has the lock: nothing was done.
   *
   * @throws BrokerError IO_FAILED, FILE_INSECURE: nothing was done either
   */
  suspend(): EndpointClaim | undefined;
  /** Another process has it now: nothing of it is removed. Never throws. */
  letGo(): void;
  /** Never throws. */
  close(): void;
}

/** A removal that is still under way takes what was just made: so often it is made again, so long apart. */
const REMOVAL_ATTEMPTS = 20;
const REMOVAL_PAUSE_MS = 25;

export function createEndpointKeeper(options: EndpointKeeperOptions): EndpointKeeper {
  return new Keeper(options);
}

class Keeper implements EndpointKeeper {
  private held: EndpointClaim | undefined;
  private watcher: { close(): void } | undefined;
  private state: "idle" | "keeping" | "repairing" | "suspended" | "closed" = "idle";

  constructor(private readonly options: EndpointKeeperOptions) {}

  get listener(): Listener | undefined {
    return this.state === "keeping" ? this.held?.listener : undefined;
  }

  async claim(): Promise<void> {
    this.held = await claimEndpoint(this.options.platform, this.options.endpoint);
  }

  inherit(claim: EndpointClaim): void {
    this.held = claim;
  }

  open(): void {
    if (this.held === undefined || this.isClosed()) return;
    this.state = "keeping";
    this.options.onListener(this.held.listener);
    this.watch();
  }

  suspend(): EndpointClaim | undefined {
    if (this.state !== "keeping" || !this.held?.isCurrent() || !this.held.refreshLock()) return undefined;
    this.state = "suspended";
    this.watcher?.close();
    this.held.listener.pause();
    return this.held;
  }

  letGo(): void {
    this.state = "closed";
    runAll([() => this.watcher?.close(), () => this.held?.letGo()]);
  }

  close(): void {
    this.state = "closed";
    runAll([() => this.watcher?.close(), () => this.held?.release()]);
  }

  private watch(): void {
    const { platform, endpoint } = this.options;
    this.watcher?.close();
    this.watcher = platform.files.watch(platform.files.paths.dirname(endpoint.path), () => void this.check());
    // It may have gone before the watch began.
    void this.check();
  }

  private async check(): Promise<void> {
    if (this.state !== "keeping" || this.held === undefined) return;
    if (this.isInPlace(this.held)) return this.held.keepName();
    this.state = "repairing";
    this.held.release();
    this.held = undefined;
    try {
      const claim = await this.claimAgain();
      if (this.isClosed()) return claim.release();
      this.held = claim;
      this.open();
      this.options.onRebound();
    } catch (error) {
      if (!this.isClosed()) this.options.onLost(reasonOf(error));
    }
  }

  /** One that cannot be looked at (the directory is locked, descriptors ran out) is not known to be gone. */
  private isInPlace(claim: EndpointClaim): boolean {
    try {
      return claim.isCurrent();
    } catch {
      return true;
    }
  }

  private isClosed(): boolean {
    return this.state === "closed";
  }

  private async claimAgain(): Promise<EndpointClaim> {
    const { platform, endpoint } = this.options;
    for (let attempt = 1; ; attempt++) {
      if (!this.placeExists()) throw new BrokerError("IO_FAILED", `the directory of ${endpoint.path} was removed`);
      try {
        return await claimEndpoint(platform, endpoint);
      } catch (error) {
        if (!mayPass(error) || attempt === REMOVAL_ATTEMPTS || this.isClosed()) throw error;
        await sleep(platform.clock, REMOVAL_PAUSE_MS);
      }
    }
  }

  /** A cleaner takes the socket and perhaps the two directories we made; more than that is the end of the place itself. */
  private placeExists(): boolean {
    const { files } = this.options.platform;
    const { dirname } = files.paths;
    const directory = dirname(this.options.endpoint.path);
    return [directory, dirname(directory), dirname(dirname(directory))].some(
      (path) => path !== dirname(path) && files.facts(path)?.kind === "directory",
    );
  }
}

/** Vanished once more, or something that comes back has run out for the moment. */
function mayPass(error: unknown): boolean {
  return hasCode(error, "IO_FAILED") && (error.details.errno === "ENOENT" || !isPermanent(error));
}
