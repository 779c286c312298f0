/** What a broker hands over to this process as it comes, and what is made of it once this process is the broker. */
import { acquire, runAll } from "../../base/disposal-stack.ts";
import { BrokerError } from "../../base/errors.ts";
import type { Connection, FileLock, Listener, Platform, Received } from "../../platform/ports/index.ts";
import type { SuccessionValue } from "../../wire/succession.ts";
import { leaseReport } from "../control/control-requests.ts";
import type { InitialChannel } from "../control/control-slot.ts";
import { type BrokerAddress, type EndpointClaim, inheritEndpoint } from "../endpoint/claim-endpoint.ts";
import type { BackendPast } from "../supervisor/backend.ts";
import type { SuccessionReceived } from "./succession-channel.ts";

export interface ReceivedState {
  /** True for the last one. Consumes what came with the message. @throws BrokerError when it is not what a broker at the endpoint needs */
  add(received: SuccessionReceived): boolean;
  /** Returns what makes it ours, which never throws. @throws BrokerError when something is missing */
  check(): () => Inheritance;
  /** Gives up everything that has come, in the order of its coming. Never throws. */
  close(): void;
}

export interface Inheritance {
  readonly claim: EndpointClaim;
  readonly accepted: number;
  readonly lastConnectionId: bigint;
  readonly bequests: Bequests;
  /** What was left undone, by name; the broker serves without it. */
  readonly faults: readonly { readonly step: string; readonly error: unknown }[];
}

/** What there is of each backend that its manifest does not say. */
export interface Bequests {
  readonly count: number;
  /** At most once for each. The channel becomes the caller's. */
  take(endpoint: string, pid: number): Bequest | undefined;
  /** Lets go of what was not taken. */
  close(): void;
}

export interface Bequest {
  readonly channel: InitialChannel | undefined;
  readonly past: BackendPast;
}

export function createReceivedState(platform: Platform, address: BrokerAddress): ReceivedState {
  return new State(platform, address);
}

class State implements ReceivedState {
  /** In the order of their coming: what is to be given up again, were it not to become ours. */
  private readonly undos: (() => void)[] = [];
  private listener: { readonly listener: Listener; readonly value: SuccessionValue<"listener"> } | undefined;
  private lock: FileLock | undefined;
  private readonly backends = new Map<
    string,
    { readonly value: SuccessionValue<"backend">; connection: Connection | undefined }
  >();

  constructor(
    private readonly platform: Platform,
    private readonly address: BrokerAddress,
  ) {}

  add({ message, given }: SuccessionReceived): boolean {
    const { transport, locks } = this.platform;
    switch (message.case) {
      case "listener":
        this.listener = { listener: this.adoptListener(required(given, message.case)), value: message.value };
        return false;
      case "lock": {
        const lock = locks.adopt(required(given, message.case), `${this.address.path}.lock`);
        this.undos.push(() => lock.abandon());
        this.lock = lock;
        return false;
      }
      case "backend": {
        const connection = given === undefined ? undefined : transport.adoptConnection(given);
        this.undos.push(() => connection?.close());
        this.backends.set(message.value.endpoint, { value: message.value, connection });
        return false;
      }
      case "complete":
        if (message.value.backends !== this.backends.size) throw incomplete(`${this.backends.size} backends`);
        return true;
      default:
        if (given !== undefined) transport.discard(given);
        return false;
    }
  }

  check(): () => Inheritance {
    const { listener, lock } = this;
    if (listener === undefined || lock === undefined) throw incomplete("no listening socket and lock");
    return () => this.settle({ ...listener, lock });
  }

  close(): void {
    runAll(this.undos.splice(0));
  }

  private settle({
    listener,
    value,
    lock,
  }: {
    listener: Listener;
    value: SuccessionValue<"listener">;
    lock: FileLock;
  }): Inheritance {
    const errno = listener.nameUs();
    const bound = { dev: value.device, ino: value.inode };
    return {
      claim: inheritEndpoint(this.platform, this.address, { listener, lock, bound }),
      accepted: Number(value.accepted),
      lastConnectionId: value.lastConnectionId,
      bequests: {
        count: this.backends.size,
        take: (path, pid) => this.take(path, pid),
        close: () => this.closeBackends(),
      },
      faults:
        errno === undefined
          ? []
          : [{ step: "naming this process to peers", error: new Error(`listen failed: ${errno}`) }],
    };
  }

  private adoptListener(given: Received): Listener {
    // The port leaves a descriptor that is none to its owner.
    return acquire((held) => {
      held.defer(() => this.platform.transport.discard(given));
      const listener = this.platform.transport.adoptListener(given);
      this.undos.push(() => listener.close());
      return listener;
    });
  }

  private take(endpoint: string, pid: number): Bequest | undefined {
    const found = this.backends.get(endpoint);
    if (found === undefined || found.value.pid !== pid) return undefined;
    this.backends.delete(endpoint);
    const { lastHelloUnixMs, lastActiveUnixMs, terminated, killInMs, channel } = found.value;
    return {
      channel: found.connection && channel && { connection: found.connection, memory: memoryOf(channel) },
      past: {
        lastHelloUnixMs: Number(lastHelloUnixMs),
        lastActiveUnixMs: Number(lastActiveUnixMs),
        terminated,
        killInMs: killInMs === undefined ? undefined : Number(killInMs),
      },
    };
  }

  private closeBackends(): void {
    for (const { connection } of this.backends.values()) connection?.close();
    this.backends.clear();
  }
}

function memoryOf(channel: NonNullable<SuccessionValue<"backend">["channel"]>): NonNullable<InitialChannel["memory"]> {
  const { capabilities, features, leases, lastRequestId, unfinished } = channel;
  return { capabilities, features, leases: leases && leaseReport(leases), lastRequestId, unfinished };
}

function required(given: Received | undefined, what: string): Received {
  if (given === undefined) throw incomplete(`a ${what} without its descriptor`);
  return given;
}

function incomplete(got: string): BrokerError {
  return new BrokerError("RESTART_FAILED", `what the running broker handed over is not complete: ${got}`);
}
