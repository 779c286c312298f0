/**
 * Incremental decoder: push whatever arrived, take out whole frame bodies. Chunks are kept as they came and joined only
 * when a frame spans several of them, and its header is decoded once, so a large frame costs one copy however finely
 * it was cut.
 *
 * Invariant: a header fault is permanent. After a throw, every later call throws the same error and holds no bytes.
 */
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAMING_VERSION,
  frameTruncated,
  framingVersionUnsupported,
  truncationContext,
} from "./framing.ts";
import { MAX_FRAME_BODY_BYTES } from "./limits.ts";

export interface FrameDecoder {
  /** Keeps `chunk` by reference; the caller must not change it afterwards. */
  push(chunk: Uint8Array): void;
  /**
   * The next whole frame body, or undefined when more bytes are needed.
   *
   * @throws BrokerError FRAMING_VERSION_UNSUPPORTED as soon as the first byte shows it, FRAME_TOO_LARGE as soon as the
   * header is complete.
   */
  next(): Buffer | undefined;
  /** Bytes held that belong to no frame taken yet. */
  readonly bufferedBytes: number;
  /** Hands out and forgets the bytes held, for a stream that changes hands. */
  takeRest(): Buffer;
  /**
   * Declares the end of the stream.
   *
   * @throws BrokerError FRAME_TRUNCATED when it ends inside a frame, or the header fault met before.
   */
  end(): void;
}

export function createFrameDecoder(options: { maxBodyBytes?: number } = {}): FrameDecoder {
  return new ChunkedFrameDecoder(options.maxBodyBytes ?? MAX_FRAME_BODY_BYTES);
}

class ChunkedFrameDecoder implements FrameDecoder {
  private chunks: Buffer[] = [];
  private buffered = 0;
  /** Header and body of the frame at the front; undefined until its header is complete. */
  private frameBytes: number | undefined;
  private fault: unknown;

  constructor(private readonly maxBodyBytes: number) {}

  get bufferedBytes(): number {
    return this.buffered;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.fault !== undefined) return;
    this.chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.buffered += chunk.length;
  }

  next(): Buffer | undefined {
    if (this.fault !== undefined) throw this.fault;
    try {
      return this.takeFrame();
    } catch (error) {
      this.fault = error;
      this.takeRest();
      throw error;
    }
  }

  takeRest(): Buffer {
    const rest = this.joined(this.buffered);
    this.chunks = [];
    this.buffered = 0;
    this.frameBytes = undefined;
    return rest;
  }

  end(): void {
    if (this.fault !== undefined) throw this.fault;
    if (this.buffered > 0) throw frameTruncated(truncationContext(this.buffered));
  }

  private takeFrame(): Buffer | undefined {
    this.frameBytes ??= this.readHeader();
    const total = this.frameBytes;
    if (total === undefined || this.buffered < total) return undefined;
    const body = this.joined(total).subarray(FRAME_HEADER_BYTES, total);
    this.drop(total);
    this.frameBytes = undefined;
    return body;
  }

  private readHeader(): number | undefined {
    const version = this.chunks[0]?.[0];
    if (version === undefined) return undefined;
    if (version !== FRAMING_VERSION) throw framingVersionUnsupported(version);
    if (this.buffered < FRAME_HEADER_BYTES) return undefined;
    return FRAME_HEADER_BYTES + decodeFrameHeader(this.joined(FRAME_HEADER_BYTES), this.maxBodyBytes);
  }

  /** At least `size` bytes from the front as one buffer; joins chunks only when the first one is shorter. */
  private joined(size: number): Buffer {
    const first = this.chunks[0];
    if (first === undefined) return Buffer.alloc(0);
    if (first.length >= size) return first;
    if (size === FRAME_HEADER_BYTES) return Buffer.concat(this.chunks, size);
    const whole = Buffer.concat(this.chunks);
    this.chunks = [whole];
    return whole;
  }

  private drop(size: number): void {
    this.buffered -= size;
    let left = size;
    while (left > 0) {
      const first = this.chunks[0] as Buffer;
      if (first.length > left) {
        this.chunks[0] = first.subarray(left);
        return;
      }
      left -= first.length;
      this.chunks.shift();
    }
  }
}
