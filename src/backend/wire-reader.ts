/**
 * Messages out of a stream of chunks, for the ready-made server. Without a wire of the daemon's own the frame decoder
 * does it; with one, every judgement needs the whole unread buffer, so that is kept in one growing piece. Neither
 * copies a byte more than a constant number of times, however finely the stream is cut.
 */

import { createFrameDecoder } from "../wire/frame-decoder.ts";
import { frameTruncated, truncationContext } from "../wire/framing.ts";
import { classifyBuffer, classifyFrame, type FrameVerdict, type LegacyDetector, type MuxRules } from "./classify.ts";

export type StreamVerdict = { readonly type: "need-more" } | { readonly type: "legacy" } | FrameVerdict;

export interface WireReader {
  push(chunk: Buffer): void;
  /**
   * The next message. `legacy` consumes nothing: take the bytes with `takeRest`.
   *
   * @throws BrokerError what the mux throws; without a legacy wire also FRAMING_VERSION_UNSUPPORTED
   */
  next(): StreamVerdict;
  /** Hands out and forgets the bytes held. */
  takeRest(): Buffer;
  /** Declares the end of the stream. @throws BrokerError FRAME_TRUNCATED when it ends inside a message */
  end(): void;
}

/** `detect` present or not decides the form: only then is there a legacy wire. */
export function createWireReader(
  rules: Pick<MuxRules, "served"> & { detect?: LegacyDetector | undefined },
): WireReader {
  return rules.detect === undefined ? createFramesOnlyReader(rules) : new MixedReader(rules);
}

function createFramesOnlyReader(rules: Pick<MuxRules, "served">): WireReader {
  const decoder = createFrameDecoder();
  return {
    push: (chunk) => decoder.push(chunk),
    next() {
      const body = decoder.next();
      return body === undefined ? { type: "need-more" } : classifyFrame(body, rules);
    },
    takeRest: () => decoder.takeRest(),
    end: () => decoder.end(),
  };
}

/** Payloads are views of the buffer, so what was consumed is never written over: bytes are only added behind the end. */
class MixedReader implements WireReader {
  private buffer: Buffer = Buffer.alloc(0);
  private start = 0;
  private stop = 0;

  constructor(private readonly rules: MuxRules) {}

  push(chunk: Buffer): void {
    if (this.start === this.stop) {
      this.buffer = chunk;
      this.start = 0;
      this.stop = chunk.length;
      return;
    }
    if (this.stop + chunk.length > this.buffer.length) this.moveToLarger(chunk.length);
    chunk.copy(this.buffer, this.stop);
    this.stop += chunk.length;
  }

  next(): StreamVerdict {
    const verdict = classifyBuffer(this.unread(), this.rules);
    if (verdict.type === "probe" || verdict.type === "payload") this.start += verdict.consumed;
    return verdict;
  }

  takeRest(): Buffer {
    const rest = this.unread();
    this.start = this.stop;
    return rest;
  }

  end(): void {
    const held = this.stop - this.start;
    if (held > 0) throw frameTruncated(truncationContext(held));
  }

  private unread(): Buffer {
    return this.buffer.subarray(this.start, this.stop);
  }

  private moveToLarger(extra: number): void {
    const held = this.unread();
    this.buffer = Buffer.allocUnsafe(2 * (held.length + extra));
    held.copy(this.buffer);
    this.start = 0;
    this.stop = held.length;
  }
}
