/**
 * The broker whose place this process takes, seen from here (docs/architecture.md, "Hot restart"). Until `inherit` resolves
 * it is the broker, and goes on as if nothing had been when this process ends.
 */
import { Deadline } from "../base/clock.ts";
import { acquire, runAll } from "../base/disposal-stack.ts";
import { BrokerError, hasCode, isBrokerError, reasonOf } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { Connection, FileLock, Listener, Platform } from "../platform/ports.ts";
import { decodeFrame } from "../wire/envelope.ts";
import type { Frame } from "../wire/messages.ts";
import type { SuccessionArm, SuccessionValue } from "../wire/succession.ts";
import type { BackendPast } from "./backend.ts";
import { type BrokerAddress, type EndpointClaim, inheritEndpoint } from "./claim-endpoint.ts";
import { leaseReport } from "./control-requests.ts";
import type { InitialChannel } from "./control-slot.ts";
import { createSuccessionChannel, type Received, type SuccessionChannel } from "./succession-channel.ts";

export interface Predecessor {
  /**
   * Says that this process could serve, and resolves with everything it is to serve with as soon as it is the broker: told
   * so, or left alone by the other one's death. Until then nothing of it is used, but everything is checked: once this process
   * is the broker, nothing may fail. There is no time limit: the other one waits for the right moment, and its end is seen.
   *
   * @throws BrokerError RESTART_FAILED (it has changed its mind or died), and what is wrong with what it gave; it goes on as the
   * broker
   */
  inherit(address: BrokerAddress): Promise<Inheritance>;
  /** This process accepts. Never rejects: the other one may be gone. */
  serving(): Promise<void>;
  /**
   * Takes what the other one still reads of clients that had connected to it; resolves when it has ended, or what it sends
   * cannot be followed any more: then with what is wrong. `onRequest` consumes the connection. Never rejects.
   */
  takeRequests(onRequest: (connection: Connection, frame: Frame) => void): Promise<BrokerError | undefined>;
  /** This process cannot take over. Never rejects. */
  failed(error: unknown): Promise<void>;
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
  /** Lets go of what nobody took. */
  close(): void;
}

export interface Bequest {
  readonly channel: InitialChannel | undefined;
  readonly past: BackendPast;
}

const SEND_MS = 5_000;

/** Consumes `fd`, our end of the socket to it. @throws BrokerError ENDPOINT_INVALID */
export function openPredecessor(platform: Platform, fd: number): Predecessor {
  return new Old(platform, createSuccessionChannel(platform, platform.transport.adoptConnection(fd)));
}

class Old implements Predecessor {
  constructor(
    private readonly platform: Platform,
    private readonly channel: SuccessionChannel,
  ) {}

  async inherit(address: BrokerAddress): Promise<Inheritance> {
    await this.send({ case: "prepared", value: { version: VERSION } });
    const given = new Given(this.platform, address);
    try {
      while (!given.add(await this.receive()));
      const settle = given.check();
      await this.send({ case: "received", value: {} });
      await this.becomesOurs();
      return settle();
    } catch (error) {
      given.close();
      throw error;
    }
  }

  async serving(): Promise<void> {
    await this.send({ case: "serving", value: {} }).catch(() => {});
  }

  async failed(error: unknown): Promise<void> {
    const code = isBrokerError(error) ? error.code : "INTERNAL";
    await this.send({ case: "failed", value: { code, reason: reasonOf(error) } }).catch(() => {});
    this.channel.close();
  }

  async takeRequests(onRequest: (connection: Connection, frame: Frame) => void): Promise<BrokerError | undefined> {
    const { files, clock } = this.platform;
    try {
      for (;;) {
        const received = await this.channel.receive(Deadline.never(clock));
        if (received === undefined) return undefined;
        const { message, descriptor } = received;
        if (descriptor === undefined) continue;
        if (message.case === "request") this.takeRequest(message.value.frame, descriptor, onRequest);
        else files.closeFd(descriptor);
      }
    } catch (error) {
      // Its last requests are lost with it; those clients see their connection end, and ask again.
      if (hasCode(error, "IO_FAILED")) return undefined;
      return isBrokerError(error) ? error : new BrokerError("INTERNAL", reasonOf(error), { cause: error });
    } finally {
      this.channel.close();
    }
  }

  private takeRequest(
    bytes: Uint8Array,
    descriptor: number,
    onRequest: (connection: Connection, frame: Frame) => void,
  ): void {
    acquire((held) => {
      const connection = held.use(this.platform.transport.adoptConnection(descriptor));
      onRequest(connection, decodeFrame(bytes));
    });
  }

  /** The other one closes its end without a word only by dying: one that changes its mind kills us first. */
  private async becomesOurs(): Promise<void> {
    const { clock, files } = this.platform;
    for (;;) {
      const received = await this.channel.receive(Deadline.never(clock)).catch((error: unknown) => {
        if (!isBrokerError(error)) throw error;
        return undefined;
      });
      if (received?.descriptor !== undefined) files.closeFd(received.descriptor);
      if (received === undefined || received.message.case === "yours") return;
    }
  }

  private async receive(): Promise<Received> {
    const received = await this.channel.receive(Deadline.never(this.platform.clock));
    if (received !== undefined) return received;
    throw new BrokerError("RESTART_FAILED", "the broker whose place was to be taken has changed its mind or died");
  }

  private send(message: SuccessionArm): Promise<void> {
    return this.channel.send(message, { deadline: Deadline.after(this.platform.clock, SEND_MS) });
  }
}

/** What has come so far. */
class Given {
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

  /** True for the last one. Consumes the descriptor. @throws BrokerError when it is not what a broker at the endpoint needs */
  add({ message, descriptor }: Received): boolean {
    const { transport, files, locks } = this.platform;
    switch (message.case) {
      case "listener":
        this.listener = { listener: this.adoptListener(descriptorOf(descriptor, message.case)), value: message.value };
        return false;
      case "lock": {
        const lock = locks.adopt(descriptorOf(descriptor, message.case), `${this.address.path}.lock`);
        this.undos.push(() => lock.abandon());
        this.lock = lock;
        return false;
      }
      case "backend": {
        const connection = descriptor === undefined ? undefined : transport.adoptConnection(descriptor);
        this.undos.push(() => connection?.close());
        this.backends.set(message.value.endpoint, { value: message.value, connection });
        return false;
      }
      case "complete":
        if (message.value.backends !== this.backends.size) throw incomplete(`${this.backends.size} backends`);
        return true;
      default:
        if (descriptor !== undefined) files.closeFd(descriptor);
        return false;
    }
  }

  /** Returns what makes it ours, which never throws. @throws BrokerError when something is missing */
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

  private adoptListener(fd: number): Listener {
    // The port leaves a descriptor that is none to its owner.
    return acquire((held) => {
      held.defer(() => this.platform.files.closeFd(fd));
      const listener = this.platform.transport.adoptListener(fd);
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

function descriptorOf(descriptor: number | undefined, what: string): number {
  if (descriptor === undefined) throw incomplete(`a ${what} without its descriptor`);
  return descriptor;
}

function incomplete(got: string): BrokerError {
  return new BrokerError("RESTART_FAILED", `what the running broker handed over is not complete: ${got}`);
}
