/**
 * The broker whose place this process takes, seen from here (docs/architecture.md, "Hot restart"). Until `inherit` resolves
 * it is the broker, and goes on as if nothing had been when this process ends.
 */
import { Deadline } from "../base/clock.ts";
import { BrokerError, isBrokerError, reasonOf } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { Connection, FileLock, Platform } from "../platform/ports.ts";
import { decodeFrame } from "../wire/envelope.ts";
import type { Frame } from "../wire/messages.ts";
import type { SuccessionArm, SuccessionValue } from "../wire/succession.ts";
import type { BackendPast } from "./backend.ts";
import { type EndpointClaim, inheritEndpoint } from "./claim-endpoint.ts";
import { leaseReport } from "./control-requests.ts";
import type { InitialChannel } from "./control-slot.ts";
import { createSuccessionChannel, type Received, type SuccessionChannel } from "./succession-channel.ts";

export interface Predecessor {
  /**
   * Says that this process could serve, and resolves with everything it is to serve with as soon as it is the broker: told
   * so, or left alone by the other one's death. Until then nothing of it is used. There is no time limit: the other one waits
   * for the right moment, and its end is seen.
   *
   * @throws BrokerError RESTART_FAILED (it has changed its mind or died), and what is wrong with what it gave
   */
  inherit(endpoint: string): Promise<Inheritance>;
  /** This process accepts. Never rejects: the other one may be gone. */
  serving(): Promise<void>;
  /**
   * Takes what the other one still reads of clients that had connected to it; resolves when it has ended. `onRequest`
   * consumes the connection.
   */
  takeRequests(onRequest: (connection: Connection, frame: Frame) => void): Promise<void>;
  /** This process cannot take over. Never rejects. */
  failed(error: unknown): Promise<void>;
}

export interface Inheritance {
  readonly claim: EndpointClaim;
  readonly accepted: number;
  readonly lastConnectionId: bigint;
  readonly bequests: Bequests;
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

  async inherit(endpoint: string): Promise<Inheritance> {
    await this.send({ case: "prepared", value: { version: VERSION } });
    const given = new Given(this.platform);
    try {
      while (!given.add(await this.receive()));
      given.check(endpoint);
      await this.send({ case: "received", value: {} });
      await this.becomesOurs();
      return given.settle(endpoint);
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

  async takeRequests(onRequest: (connection: Connection, frame: Frame) => void): Promise<void> {
    const { files, clock } = this.platform;
    try {
      for (;;) {
        const received = await this.channel.receive(Deadline.never(clock));
        if (received === undefined) break;
        const { message, descriptor } = received;
        if (descriptor === undefined) continue;
        if (message.case === "request") this.takeRequest(message.value.frame, descriptor, onRequest);
        else files.closeFd(descriptor);
      }
    } catch (error) {
      // Its last requests are lost with it; those clients see their connection end, and ask again.
      if (!isBrokerError(error)) throw error;
    }
    this.channel.close();
  }

  private takeRequest(
    bytes: Uint8Array,
    descriptor: number,
    onRequest: (connection: Connection, frame: Frame) => void,
  ): void {
    const connection = this.platform.transport.adoptConnection(descriptor);
    try {
      onRequest(connection, decodeFrame(bytes));
    } catch (error) {
      connection.close();
      throw error;
    }
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
  private listener: { readonly fd: number; readonly value: SuccessionValue<"listener"> } | undefined;
  private lockFd: number | undefined;
  private lock: FileLock | undefined;
  private readonly backends = new Map<
    string,
    { readonly value: SuccessionValue<"backend">; connection: Connection | undefined }
  >();

  constructor(private readonly platform: Platform) {}

  /** True for the last one. Consumes the descriptor. */
  add({ message, descriptor }: Received): boolean {
    const { transport, files } = this.platform;
    switch (message.case) {
      case "listener":
        this.listener = { fd: descriptorOf(descriptor, message.case), value: message.value };
        return false;
      case "lock":
        this.lockFd = descriptorOf(descriptor, message.case);
        return false;
      case "backend": {
        const connection = descriptor === undefined ? undefined : transport.adoptConnection(descriptor);
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

  /** @throws BrokerError when it is not what a broker at `endpoint` needs */
  check(endpoint: string): void {
    const { listener, lockFd } = this;
    if (listener === undefined || lockFd === undefined) throw incomplete("no listening socket and lock");
    this.lockFd = undefined;
    this.lock = this.platform.locks.adopt(lockFd, `${endpoint}.lock`);
  }

  settle(endpoint: string): Inheritance {
    const { platform, listener, lock } = this;
    if (listener === undefined || lock === undefined) throw incomplete("it was not checked");
    const { device, inode, accepted, lastConnectionId } = listener.value;
    const claim = inheritEndpoint(platform, endpoint, {
      listener: platform.transport.adoptListener(listener.fd, { asOurs: true }),
      lock,
      bound: { dev: device, ino: inode },
    });
    const bequests: Bequests = {
      count: this.backends.size,
      take: (path, pid) => this.take(path, pid),
      close: () => this.closeBackends(),
    };
    return { claim, accepted: Number(accepted), lastConnectionId, bequests };
  }

  close(): void {
    const { files } = this.platform;
    for (const fd of [this.listener?.fd, this.lockFd]) if (fd !== undefined) files.closeFd(fd);
    this.lock?.abandon();
    this.closeBackends();
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
