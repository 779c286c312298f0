/**
 * The stream of a control channel or a v1 handoff connection as messages: 16 sideband bytes, one frame, and the
 * descriptors that came with them.
 *
 * Whatever is there is taken in one call, since a message of a broker of ours is one sendmsg(2). Nothing gets mixed up
 * by that: the kernel ends each read behind the bytes on which descriptors ride (unix(7)), so descriptors belong to the
 * message that holds the last byte read with them, whether they ride on all of it or only on its sideband.
 */
import { type Clock, Deadline } from "../base/clock.ts";
import type { Connection } from "../platform/ports.ts";
import { decodeFrameHeader, FRAME_HEADER_BYTES, frameTruncated, truncationContext } from "../wire/framing.ts";
import { HANDOFF_TOKEN_BYTES } from "../wire/handoff.ts";
import { MAX_HELLO_BODY_BYTES } from "../wire/limits.ts";

export interface OfferMessage {
  readonly sideband: Buffer;
  readonly frameBody: Buffer;
  /** The caller's now. */
  readonly descriptors: readonly number[];
  /** For the answer: counted from the first byte of this message. */
  readonly deadline: Deadline;
}

export interface OfferReader {
  /**
   * The next message; undefined at the end of the stream.
   *
   * @throws BrokerError FRAMING_VERSION_UNSUPPORTED, FRAME_TOO_LARGE, FRAME_TRUNCATED, DEADLINE_EXCEEDED, IO_FAILED
   */
  next(): Promise<OfferMessage | undefined>;
  /** Descriptors that came without a whole message. The caller's now. */
  takeLeftover(): readonly number[];
}

/** `messageMs`: from the first byte of a message to its last. Borrows the connection. */
export function createOfferReader(
  connection: Connection,
  options: { readonly clock: Clock; readonly messageMs: number },
): OfferReader {
  return new BufferedOfferReader(connection, options);
}

const HEAD_BYTES = HANDOFF_TOKEN_BYTES + FRAME_HEADER_BYTES;
const READ_BYTES = 64 * 1024;

class BufferedOfferReader implements OfferReader {
  private held: Buffer = Buffer.alloc(0);
  /** Positions count from the start of the stream. */
  private heldAt = 0;
  private riders: { readonly endsAt: number; readonly descriptors: readonly number[] }[] = [];

  constructor(
    private readonly connection: Connection,
    private readonly options: { readonly clock: Clock; readonly messageMs: number },
  ) {}

  async next(): Promise<OfferMessage | undefined> {
    const { clock, messageMs } = this.options;
    let deadline = this.held.length === 0 ? undefined : Deadline.after(clock, messageMs);
    for (;;) {
      const size = this.messageBytes();
      if (size !== undefined && deadline !== undefined) return { ...this.take(size), deadline };
      const { bytes, descriptors } = await this.connection.receiveSome(READ_BYTES, deadline ?? Deadline.never(clock));
      if (bytes.length === 0) {
        if (this.held.length === 0) return undefined;
        throw frameTruncated(truncationContext(Math.max(0, this.held.length - HANDOFF_TOKEN_BYTES)));
      }
      deadline ??= Deadline.after(clock, messageMs);
      this.held = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
      if (descriptors.length > 0) this.riders.push({ endsAt: this.heldAt + this.held.length, descriptors });
    }
  }

  takeLeftover(): readonly number[] {
    return this.riders.splice(0).flatMap(({ descriptors }) => descriptors);
  }

  /** Of the message in front; undefined until all of it is here. */
  private messageBytes(): number | undefined {
    if (this.held.length < HEAD_BYTES) return undefined;
    const header = this.held.subarray(HANDOFF_TOKEN_BYTES, HEAD_BYTES);
    const size = HEAD_BYTES + decodeFrameHeader(header, MAX_HELLO_BODY_BYTES);
    return this.held.length < size ? undefined : size;
  }

  private take(size: number): Omit<OfferMessage, "deadline"> {
    const sideband = this.held.subarray(0, HANDOFF_TOKEN_BYTES);
    const frameBody = this.held.subarray(HEAD_BYTES, size);
    this.held = this.held.subarray(size);
    this.heldAt += size;
    const descriptors: number[] = [];
    for (let rider = this.riders[0]; rider !== undefined && rider.endsAt <= this.heldAt; rider = this.riders[0]) {
      descriptors.push(...rider.descriptors);
      this.riders.shift();
    }
    return { sideband, frameBody, descriptors };
  }
}
