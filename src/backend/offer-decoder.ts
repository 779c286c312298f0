/**
 * The stream of a control channel or a v1 handoff connection as messages: 16 sideband bytes, one frame, and the
 * descriptors that came with them. Does no I/O.
 *
 * Whatever is there is taken in one call, since a message of a broker of ours is one sendmsg(2). Nothing gets mixed up
 * by that: the kernel ends each read behind the bytes on which descriptors ride (unix(7)), so descriptors belong to the
 * message that holds the last byte read with them, whether they ride on all of it or only on its sideband.
 */
import type { Received, ReceivedMessage } from "../platform/ports/index.ts";
import { decodeFrameHeader, FRAME_HEADER_BYTES, frameTruncated, truncationContext } from "../wire/framing.ts";
import { HANDOFF_TOKEN_BYTES } from "../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../wire/limits.ts";

export interface OfferMessage {
  readonly sideband: Buffer;
  readonly frameBody: Buffer;
  /** The caller's now. */
  readonly received: readonly Received[];
}

export interface OfferDecoder {
  /** What came by one recvmsg(2). Its descriptors are kept until they are taken. */
  push(received: ReceivedMessage): void;
  /** @throws BrokerError FRAMING_VERSION_UNSUPPORTED, FRAME_TOO_LARGE: the stream cannot be followed any more */
  next(): OfferMessage | undefined;
  /** Has a message begun that is not complete? */
  readonly partial: boolean;
  /** Declares the end of the stream. @throws BrokerError FRAME_TRUNCATED inside a message */
  end(): void;
  /** Descriptors that came without a whole message. The caller's now. */
  takeLeftover(): readonly Received[];
}

export function createOfferDecoder(): OfferDecoder {
  return new BufferedOfferDecoder();
}

const HEAD_BYTES = HANDOFF_TOKEN_BYTES + FRAME_HEADER_BYTES;

class BufferedOfferDecoder implements OfferDecoder {
  private held: Buffer = Buffer.alloc(0);
  /** Positions count from the start of the stream. */
  private heldAt = 0;
  private riders: { readonly endsAt: number; readonly received: readonly Received[] }[] = [];

  get partial(): boolean {
    return this.held.length > 0;
  }

  push({ bytes, received }: ReceivedMessage): void {
    this.held = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    if (received.length > 0) this.riders.push({ endsAt: this.heldAt + this.held.length, received });
  }

  next(): OfferMessage | undefined {
    if (this.held.length < HEAD_BYTES) return undefined;
    const header = this.held.subarray(HANDOFF_TOKEN_BYTES, HEAD_BYTES);
    const size = HEAD_BYTES + decodeFrameHeader(header, MAX_HELLO_BODY_BYTES);
    return this.held.length < size ? undefined : this.take(size);
  }

  end(): void {
    if (this.partial) throw frameTruncated(truncationContext(Math.max(0, this.held.length - HANDOFF_TOKEN_BYTES)));
  }

  takeLeftover(): readonly Received[] {
    return this.riders.splice(0).flatMap(({ received }) => received);
  }

  private take(size: number): OfferMessage {
    const sideband = this.held.subarray(0, HANDOFF_TOKEN_BYTES);
    const frameBody = this.held.subarray(HEAD_BYTES, size);
    this.held = this.held.subarray(size);
    this.heldAt += size;
    const received: Received[] = [];
    for (let rider = this.riders[0]; rider !== undefined && rider.endsAt <= this.heldAt; rider = this.riders[0]) {
      received.push(...rider.received);
      this.riders.shift();
    }
    return { sideband, frameBody, received };
  }
}
