/**
 * The stream header in front of every frame body. FRAME_HEADER is the single description of its layout: encoder,
 * decoder and the byte table in docs/protocol.md come from it.
 */
import { BrokerError } from "../base/errors.ts";
import { MAX_FRAME_BODY_BYTES } from "./limits.ts";

/** First byte of every frame. Bump rule: only when the header layout itself changes; never with the envelope version. */
export const FRAMING_VERSION = 1;

export const FRAME_HEADER = [
  { name: "framing version", offset: 0, size: 1, about: `always ${FRAMING_VERSION}` },
  { name: "body length", offset: 1, size: 4, about: "unsigned, little-endian" },
] as const;

export const FRAME_HEADER_BYTES: number = FRAME_HEADER.reduce((sum, field) => sum + field.size, 0);

const LENGTH_OFFSET = FRAME_HEADER[1].offset;

/**
 * Header and body as one buffer.
 *
 * @throws BrokerError FRAME_TOO_LARGE when the body is above 16 MiB.
 */
export function encodeFrameBytes(body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.length);
  bytes.set(body, FRAME_HEADER_BYTES);
  return fillFrameHeader(bytes);
}

/**
 * Writes the header into the room left for it in front of a body.
 *
 * @throws as `encodeFrameBytes`
 */
export function fillFrameHeader(bytes: Buffer): Buffer {
  const bodyBytes = bytes.length - FRAME_HEADER_BYTES;
  if (bodyBytes > MAX_FRAME_BODY_BYTES) throw frameTooLarge(bodyBytes, MAX_FRAME_BODY_BYTES);
  bytes[0] = FRAMING_VERSION;
  bytes.writeUInt32LE(bodyBytes, LENGTH_OFFSET);
  return bytes;
}

/**
 * Body length from a complete header.
 *
 * @throws BrokerError FRAMING_VERSION_UNSUPPORTED, then FRAME_TOO_LARGE.
 */
export function decodeFrameHeader(header: Buffer, maxBodyBytes: number): number {
  const version = header[0];
  if (version !== FRAMING_VERSION) throw framingVersionUnsupported(version ?? -1);
  const length = header.readUInt32LE(LENGTH_OFFSET);
  if (length > maxBodyBytes) throw frameTooLarge(length, maxBodyBytes);
  return length;
}

export function framingVersionUnsupported(got: number): BrokerError {
  return new BrokerError(
    "FRAMING_VERSION_UNSUPPORTED",
    `unsupported framing version ${got}, expected ${FRAMING_VERSION}`,
  );
}

export function frameTooLarge(bodyBytes: number, limit: number): BrokerError {
  return new BrokerError("FRAME_TOO_LARGE", `frame body of ${bodyBytes} bytes is above the limit of ${limit}`);
}

/** `context` is where the stream ended: "framing byte", "body length header" or "frame body". */
export function frameTruncated(context: string): BrokerError {
  return new BrokerError("FRAME_TRUNCATED", `unexpected end of stream in the ${context}`, {
    details: { check: context },
  });
}

/** Names the part of a frame in which a stream that delivered `got` bytes ended. */
export function truncationContext(got: number): string {
  if (got < 1) return "framing byte";
  return got < FRAME_HEADER_BYTES ? "body length header" : "frame body";
}
