/**
 * The broker whose place this process takes, seen from here (docs/architecture.md, "Hot restart"). Until `inherit` resolves
 * it is the broker, and goes on as if nothing had been when this process ends.
 */
import { Deadline } from "../../base/clock.ts";
import { acquire } from "../../base/disposal-stack.ts";
import { BrokerError, hasCode, isBrokerError, reasonOf } from "../../base/errors.ts";
import { VERSION } from "../../base/version.ts";
import type { Connection, Platform, Received } from "../../platform/ports/index.ts";
import { decodeFrame } from "../../wire/envelope.ts";
import type { Frame } from "../../wire/messages.ts";
import type { SuccessionArm } from "../../wire/succession.ts";
import type { BrokerAddress } from "../endpoint/claim-endpoint.ts";
import { createReceivedState, type Inheritance } from "./received-state.ts";
import { createSuccessionChannel, type SuccessionChannel, type SuccessionReceived } from "./succession-channel.ts";

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

const SEND_MS = 5_000;

/** Consumes `fd`, our end of the socket to it. @throws BrokerError ENDPOINT_INVALID */
export function openPredecessor(platform: Platform, fd: number): Predecessor {
  return new Old(
    platform,
    createSuccessionChannel(platform, platform.transport.adoptConnection(platform.processes.inherited(fd))),
  );
}

class Old implements Predecessor {
  constructor(
    private readonly platform: Platform,
    private readonly channel: SuccessionChannel,
  ) {}

  async inherit(address: BrokerAddress): Promise<Inheritance> {
    await this.send({ case: "prepared", value: { version: VERSION } });
    const given = createReceivedState(this.platform, address);
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
    const { transport, clock } = this.platform;
    try {
      for (;;) {
        const received = await this.channel.receive(Deadline.never(clock));
        if (received === undefined) return undefined;
        const { message, given } = received;
        if (given === undefined) continue;
        if (message.case === "request") this.takeRequest(message.value.frame, given, onRequest);
        else transport.discard(given);
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
    given: Received,
    onRequest: (connection: Connection, frame: Frame) => void,
  ): void {
    acquire((held) => {
      const connection = held.use(this.platform.transport.adoptConnection(given));
      onRequest(connection, decodeFrame(bytes));
    });
  }

  /** The other one closes its end without a word only by dying: one that changes its mind kills us first. */
  private async becomesOurs(): Promise<void> {
    const { clock, transport } = this.platform;
    for (;;) {
      const received = await this.channel.receive(Deadline.never(clock)).catch((error: unknown) => {
        if (!isBrokerError(error)) throw error;
        return undefined;
      });
      if (received?.given !== undefined) transport.discard(received.given);
      if (received === undefined || received.message.case === "yours") return;
    }
  }

  private async receive(): Promise<SuccessionReceived> {
    const received = await this.channel.receive(Deadline.never(this.platform.clock));
    if (received !== undefined) return received;
    throw new BrokerError("RESTART_FAILED", "the broker whose place was to be taken has changed its mind or died");
  }

  private send(message: SuccessionArm): Promise<void> {
    return this.channel.send(message, { deadline: Deadline.after(this.platform.clock, SEND_MS) });
  }
}
