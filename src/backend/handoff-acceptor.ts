/**
 * Taking over client connections (spec: handoff §11, backend-sdk §3). Reads offers from one connection of the broker,
 * the control channel or a v1 handoff connection, and answers each:
 *
 *   16 sideband bytes, with the client's descriptor on the first of them
 *   one frame with the offer, whose token must equal the sideband
 *
 * Invariants: a received descriptor is either delivered, exactly once and after the acknowledgement has been written, or
 * closed; nothing is read from it here, so that whoever serves it finds every byte the client has sent.
 *
 * Everything is done in the turn in which an offer comes, unless the acknowledgement finds no room: then nothing more is
 * read until it has left.
 */
import { Deadline, type Timer } from "../base/clock.ts";
import { BrokerError, isBrokerError, reasonOf } from "../base/errors.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { TokenMemory } from "../model/handoff-tokens.ts";
import type { Connection, Platform, ReadableWatch, Received } from "../platform/ports/index.ts";
import { decodeFrame } from "../wire/envelope.ts";
import { type Ack, decodeOffer, encodeAck, equalTokens, type Offer } from "../wire/handoff.ts";
import type { Frame } from "../wire/messages.ts";
import { PAYLOAD_PROTOCOL } from "../wire/payload-protocol.ts";
import { createOfferDecoder, type OfferMessage } from "./offer-decoder.ts";

export interface AcceptorOptions {
  readonly platform: Pick<Platform, "clock" | "transport" | "user">;
  readonly tokens: TokenMemory;
  /** Gets every connection that was taken over, and what is to be written to it first. Consumes the connection. */
  readonly deliver: (connection: Connection, clientReply: Uint8Array) => void;
  /** False once no new connection is to be taken over. */
  readonly accepting: () => boolean;
  /** Frames that are no offers. Absent where only offers may come. */
  readonly onMessage?: (frame: Frame) => void;
}

export interface HandoffAcceptor {
  /**
   * Resolves when the broker has ended the connection or `close` was called.
   *
   * Rejects with BrokerError FRAME_*, MESSAGE_MALFORMED, IO_FAILED, DEADLINE_EXCEEDED: the stream cannot be followed.
   */
  readonly ended: Promise<void>;
  close(): void;
}

/** From an offer's first byte to the last of its acknowledgement; the broker gives up after five seconds. */
const EXCHANGE_MS = 5_000;
const READ_BYTES = 64 * 1024;
const NO_REPLY = new Uint8Array(0);

/** Serves offers. Consumes the connection. */
export function acceptHandoffs(connection: Connection, options: AcceptorOptions): HandoffAcceptor {
  return new Acceptor(connection, options);
}

class Acceptor implements HandoffAcceptor {
  readonly ended: Promise<void>;
  private readonly messages = createOfferDecoder();
  private settle: { resolve(): void; reject(error: unknown): void } = { resolve() {}, reject() {} };
  private closed = false;
  /** An acknowledgement waits for room. */
  private acknowledging = false;
  private watch: ReadableWatch | undefined;
  /** Runs while a message has begun and is not complete. */
  private impatience: Timer | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly options: AcceptorOptions,
  ) {
    this.ended = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.receive();
    if (this.closed) return;
    this.watch = connection.watchReadable(() => this.receive());
    if (this.acknowledging) this.watch.pause();
  }

  close(): void {
    this.finish();
    this.settle.resolve();
  }

  private finish(): void {
    if (this.closed) return;
    this.closed = true;
    this.impatience?.cancel();
    ownDescriptors(this.options.platform, this.messages.takeLeftover()).closeAll();
    this.connection.close();
  }

  private fail(error: unknown): void {
    this.finish();
    this.settle.reject(error);
  }

  private receive(): void {
    try {
      const received = this.connection.receiveNow(READ_BYTES);
      if (received === undefined) return;
      if (received.bytes.length === 0) {
        this.messages.end();
        return this.close();
      }
      this.messages.push(received);
      this.answerAll();
    } catch (error) {
      this.fail(error);
    }
  }

  private answerAll(): void {
    for (let message = this.messages.next(); message !== undefined; message = this.messages.next()) {
      const answered = this.answer(message);
      if (this.closed) return;
      if (answered instanceof Promise) {
        this.acknowledging = true;
        this.watch?.pause();
        answered.then(
          () => {
            if (this.closed) return;
            this.acknowledging = false;
            this.watch?.resume();
            this.goOn();
          },
          (error: unknown) => this.fail(error),
        );
        return;
      }
    }
    this.watchPatience();
  }

  private goOn(): void {
    try {
      this.answerAll();
    } catch (error) {
      this.fail(error);
    }
  }

  private watchPatience(): void {
    if (!this.messages.partial) {
      this.impatience?.cancel();
      this.impatience = undefined;
      return;
    }
    this.impatience ??= this.deadline().arm(() =>
      this.fail(new BrokerError("DEADLINE_EXCEEDED", "the rest of a handoff offer did not come in time")),
    );
  }

  private deadline(): Deadline {
    return Deadline.after(this.options.platform.clock, EXCHANGE_MS);
  }

  /** Nothing when it is done, a promise when the acknowledgement has to wait for room. */
  private answer(message: OfferMessage): MaybePromise<void> {
    const { options } = this;
    const descriptors = ownDescriptors(options.platform, message.received);
    let delivery: MaybePromise<void>;
    try {
      const frame = decodeFrame(message.frameBody);
      if (frame.payloadProtocol !== PAYLOAD_PROTOCOL.handoff && options.onMessage !== undefined) {
        descriptors.closeAll();
        return options.onMessage(frame);
      }
      const offer = decodeOffer(frame);
      const verdict = judge(options, offer, message.sideband, descriptors);
      const ack = { token: offer.token, correlationId: offer.correlationId };
      if ("rejected" in verdict) {
        descriptors.closeAll();
        return this.acknowledge({ ...ack, accepted: false, errorDetail: verdict.rejected });
      }
      // Written before the first byte is read: without it the broker can be certain that nothing was.
      const written = this.acknowledge({ ...ack, accepted: true, errorDetail: "" });
      const deliver = (): void => options.deliver(descriptors.take(verdict.client), offer.clientReply ?? NO_REPLY);
      delivery = written instanceof Promise ? written.then(deliver) : deliver();
    } catch (error) {
      descriptors.closeAll();
      throw error;
    }
    if (delivery instanceof Promise) return delivery.finally(() => descriptors.closeAll());
  }

  private acknowledge(ack: Ack): MaybePromise<void> {
    return this.connection.writeAll(encodeAck(ack), this.deadline());
  }
}

type Verdict = { readonly client: Connection } | { readonly rejected: string };

function judge(options: AcceptorOptions, offer: Offer, sideband: Uint8Array, descriptors: OwnedDescriptors): Verdict {
  if (!options.accepting()) return { rejected: "backend is shutting down" };
  if (descriptors.fault !== undefined) return { rejected: descriptors.fault };
  const [client, ...others] = descriptors.connections;
  // None arrives when this process has no room for it: the kernel drops it (recvmsg(2), MSG_CTRUNC).
  if (client === undefined) return { rejected: "handoff carried no descriptor" };
  if (others.length > 0) return { rejected: `handoff carried ${others.length + 1} descriptors; expected 1` };
  const { user } = options.platform;
  if (!user.owns(client.peer)) return { rejected: `handed-off connection belongs to ${user.ownerText(client.peer)}` };
  if (!equalTokens(sideband, offer.token)) return { rejected: "handoff token mismatch" };
  const token = options.tokens.accept(offer.token, options.platform.clock.monotonicMs());
  return token.accepted ? { client } : { rejected: token.errorDetail };
}

/** What came with one message, as connections; closed unless taken. */
interface OwnedDescriptors {
  readonly connections: readonly Connection[];
  /** Why one of them is of no use. */
  readonly fault: string | undefined;
  take(connection: Connection): Connection;
  closeAll(): void;
}

function ownDescriptors(platform: Pick<Platform, "transport">, received: readonly Received[]): OwnedDescriptors {
  const connections: Connection[] = [];
  let fault: string | undefined;
  for (const each of received) {
    try {
      connections.push(platform.transport.adoptConnection(each));
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      fault = reasonOf(error);
    }
  }
  const mine = new Set(connections);
  return {
    connections,
    fault,
    take(connection) {
      mine.delete(connection);
      return connection;
    },
    closeAll() {
      for (const connection of mine) connection.close();
    },
  };
}
